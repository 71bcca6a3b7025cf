"""From nginx to the gateway and back, as `packaging/doc/moving.md` has it, on a host where nginx serves Matrix."""

import pytest

from conftest import UPSTREAM_PORT, install, renew, start, write_config
from guest import Guest
from harness.certificates import Authority
from harness.waiting import wait_for
from traffic import HOST, Traffic

LIVE = f"/etc/letsencrypt/live/{HOST}"
SITE = f"""
server {{
    listen 443 ssl http2;
    listen 8448 ssl http2;
    server_name {HOST};
    ssl_certificate {LIVE}/fullchain.pem;
    ssl_certificate_key {LIVE}/privkey.pem;
    client_max_body_size 50M;
    location /.well-known/matrix/server {{ return 200 '{{"m.server": "{HOST}:443"}}'; }}
    location / {{
        proxy_pass http://127.0.0.1:{UPSTREAM_PORT};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
}}
server {{
    listen 80;
    server_name {HOST};
    return 301 https://$host$request_uri;
}}
"""
BESIDE = '  - {address: "[::]:9443", tls: true}\n'
REAL = """  - {address: "[::]:443", tls: true}
  - {address: "[::]:8448", tls: true, serve: [federation]}
  - {address: "[::]:80", redirect_https: true, acme_webroot: /var/www/acme}
"""


@pytest.fixture(scope="module")
def guest(boot, package, authority: Authority, traffic: Traffic) -> Guest:
    guest = boot("PACKAGE_NGINX_ROOT")
    renew(guest, authority, 1)
    guest.run("rm -f /etc/nginx/sites-enabled/default")
    guest.write("/etc/nginx/sites-enabled/matrix", SITE)
    guest.run("systemctl restart nginx")
    assert "Port 443 is used by nginx" in install(guest, package)
    return guest


def holder(guest: Guest, port: int) -> str:
    return guest.read(f"ss -Hltnp 'sport = :{port}'")


def test_the_gateway_runs_beside_nginx(guest: Guest):
    write_config(guest, BESIDE)
    assert "0 errors" in guest.read("synapse-gateway check")
    start(guest)
    asked = f"curl -sS --insecure --resolve {HOST}:9443:127.0.0.1 https://{HOST}:9443"
    assert guest.read(f"{asked}/ready") == "OK"
    assert "nginx" in holder(guest, 443)


def test_the_change_over_loses_nothing(guest: Guest, traffic: Traffic):
    with traffic.during("from nginx") as tally:
        guest.run("nft -f /usr/share/synapse-gateway/nftables/redirect.nft")
        write_config(guest, BESIDE + REAL)
        told = guest.read("synapse-gateway check")
        guest.run("mkdir -p /var/www/acme && systemctl disable nginx")
        # As the guide has it.
        guest.run("nginx -s quit; sleep 1; systemctl reload synapse-gateway")
        guest.run("nft flush table inet matrix_redirect")
    assert "0 errors" in told
    assert tally.lost == 0, tally.errors[:10]
    assert "synapse-gateway" in holder(guest, 443)
    wait_for("nginx to end", lambda: guest.property("nginx", "ActiveState") == "inactive")
    with traffic.during("after nginx") as tally:
        write_config(guest, REAL)
        guest.run("systemctl reload synapse-gateway && nft delete table inet matrix_redirect")
    assert tally.lost == 0, tally.errors[:10]
    assert holder(guest, 9443) == ""


def test_one_line_leads_back_to_nginx(guest: Guest, traffic: Traffic):
    guest.run("systemctl disable --now synapse-gateway; systemctl enable --now nginx")
    with traffic.during("back to nginx") as tally:
        assert "nginx" in holder(guest, 443)
    assert tally.lost == 0, tally.errors[:10]


def test_the_simple_change_over_serves_as_well(guest: Guest, traffic: Traffic):
    guest.run("synapse-gateway check && systemctl disable --now nginx && systemctl restart synapse-gateway")
    with traffic.during("changed over at once") as tally:
        assert "synapse-gateway" in holder(guest, 443)
    assert tally.lost == 0, tally.errors[:10]
