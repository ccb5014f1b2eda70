import sys; sys.path.insert(0,"/tmp/w/docs/tests/support")
from browser import browser,page; from pathlib import Path
with browser(1280,1000) as o:
    for n in sys.argv[1:]:
        o.get(page(Path("/tmp/w/docs-g/pictures")/n)); o.save_screenshot(f"/tmp/w/docs-g/shot-{n}.png")
