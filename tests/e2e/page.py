"""A page of another origin in real Chromium, from which the tests call the gateway."""

import functools
import http.server
import shutil
import threading

from playwright.sync_api import Page, sync_playwright

from bundle import SCRIPTS

# Without background work of its own, and trusting exactly one server key.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

FETCH = """async ({url, method, headers, text, zeros, stalled}) => {
    const init = {method, headers};
    if (text !== null) init.body = text;
    if (zeros) init.body = new Blob([new Uint8Array(zeros)]);
    if (stalled) {
        init.body = new ReadableStream({start(body) { body.enqueue(new Uint8Array(1)); }});
        init.duplex = "half";
    }
    const answer = await fetch(url, init);
    return {
        status: answer.status,
        headers: Object.fromEntries(answer.headers),
        text: await answer.text(),
    };
}"""


START = """([name, options]) => {
    globalThis.running = globalThis.script[name](options);
    globalThis.running.catch(() => {}); // whoever waits for it is told
}"""


class _Site(http.server.SimpleHTTPRequestHandler):
    """A blank page at `/`, and the scripts."""

    def do_GET(self):
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page of another origin</title>")

    def log_message(self, *_):
        pass


class Device:
    """A browser with a storage of its own, in which one script runs: what it exports can be called."""

    def __init__(self, page: Page, script: str):
        self._page = page
        page.evaluate("async url => { globalThis.script = await import(url) }", script)

    def start(self, function: str, **options) -> None:
        """Calls it without waiting for what it promises, so that another device can do its part."""
        self._page.evaluate(START, [function, options])

    def result(self):
        return self._page.evaluate("() => globalThis.running")

    def call(self, function: str, **options):
        self.start(function, **options)
        return self.result()

    def close(self) -> None:
        self._page.context.close()


class ForeignPage:
    """`fetch` runs in the page's JavaScript; what CORS hides from a script is hidden here too."""

    def __init__(self, key_digests: list[str]):
        site = functools.partial(_Site, directory=SCRIPTS)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), site)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[*FLAGS, f"--ignore-certificate-errors-spki-list={','.join(key_digests)}"],
        )
        self.page: Page = self._browser.new_page()
        self.page.goto(self.origin)

    def fetch(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        text: str | None = None,
        zeros: int = 0,
        stalled: bool = False,
    ) -> dict:
        """One `fetch()`; raises when the script is told nothing but "Failed to fetch"."""
        arguments = {
            "url": url,
            "method": method,
            "headers": headers or {},
            "text": text,
            "zeros": zeros,
            "stalled": stalled,
        }
        return self.page.evaluate(FETCH, arguments)

    def device(self, script: str) -> Device:
        """Another browser on a page of the same origin, which runs one of the scripts."""
        page = self._browser.new_context().new_page()
        page.goto(self.origin)
        return Device(page, f"/{script}")

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()
        self._server.shutdown()
        self._server.server_close()
