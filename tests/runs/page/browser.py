"""Headless Chromium without a driver: a script in a copy of the page writes down what it finds."""

import json
import re
import shutil
import subprocess

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WATCH = """<script>
window.found = { errors: [] };
addEventListener('error', (e) => found.errors.push(String(e.message)));
addEventListener('unhandledrejection', (e) => found.errors.push(String(e.reason)));
addEventListener('securitypolicyviolation', (e) => found.errors.push(`blocked: ${e.blockedURI}`));
for (const kind of ['error', 'warn']) console[kind] = (...all) => found.errors.push(all.join(' '));
</script>"""
_TELL = """<script type="module">
const steps = async () => { %s };
try { Object.assign(found, await steps()); } catch (error) { found.errors.push(String(error)); }
const told = document.createElement('pre');
told.id = 'found';
told.textContent = JSON.stringify(found);
document.body.append(told);
</script>"""


def browser():
    """The browser's program; a clear skip without one."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium to look at the page with; install the package chromium")
    return found


def look(page, steps, tmp_path, width=1280, height=900):
    """Opens a page, runs JavaScript in it and returns what that returned, and `errors`."""
    text = page.read_text().replace("<body>", "<body>" + _WATCH)
    copy = tmp_path / "looked_at.html"
    copy.write_text(text.replace("</body>", _TELL % steps + "</body>"))
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--window-size={width},{height}", "--hide-scrollbars", "--timeout=60000"]
    command += ["--virtual-time-budget=20000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    told = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, f"the page told nothing: {done.stderr[-2000:]}"
    unescaped = told[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(unescaped)
