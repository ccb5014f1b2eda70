"""Words from outside that would do harm where they are obeyed instead of shown."""

import re

from hypothesis import strategies as st

WORDS = {
    "rich": "[red]x[/red][link=http://evil.example]y[/link] :boom:",
    "screen": "a\x1b[2J\x1b[31mb\x9b31mc",
    "address": "\x1b]8;;http://evil.example\x07here\x1b]8;;\x07",
    "title": "\x1b]0;owned\x07",
    "lines": "one\r\ntwo\x0bthree\u2028four\u0085five",
    "backspace": "safe\x08\x08\x08\x08evil",
    "directions": "a\u202egpj.exe\u202c\u2066b\u2069",
    "unseen": "ad\u200bmin\u2060\ufeff\u00ad\U000e0041\u3164",
    "half": "a\udc9b31mb\ud800",
    "markdown": "a|b *c* _d_ `e` <b> [l](u) ![i](u) ~~g~~ $h$ # i",
    "html": "<script>alert(1)</script>&lt;<!--",
    "definition": "[a]: http://evil.example",
    "latex": "\\input{/etc/passwd} % $x$ & # _ ^^5c {",
    "formula": '=HYPERLINK("http://evil.example";"x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3",
    "at": "@SUM(1+1)",
    "tab": "\t=1+1",
    "percent": "%s {0} {task.description} %(x)s",
}
OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff\ud800-\udfff]"
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),  # halves of characters too
    st.text("ab1=+-@|[](){}<>*_`~$#&%\\:;/!.,'\" \t\n\r\x1b\x9b\u202e\udc80é", max_size=20),
    st.sampled_from(sorted(WORDS.values())),
)
