"""Starts and stops the real programs that the end-to-end tests and the demo use.

Needs nothing beyond what Synapse itself installs, so that the demo can run it too.
"""
