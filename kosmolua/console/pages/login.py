"""The sign-in page, and pages that say why a request was refused."""

from __future__ import annotations

from kosmolua.console.layout import bare
from kosmolua.page.markup import Html, exact, fill

_LOGIN = """<div class="card">
<h1>Sign in</h1>
<p class="note">You will see the runs of this database.</p>
{wrong}<form method="post" action="/login">
<input type="hidden" name="csrf" value="{csrf}"><input type="hidden" name="next" value="{next}">
<input type="text" name="user" value="console" autocomplete="username" hidden>
<label for="secret">Secret</label>
<input id="secret" name="secret" type="password" required autocomplete="current-password" autofocus{invalid}>
<button class="main">Sign in</button>
</form>
<p class="note">kosmo serve printed the secret when it started, or it is in the file given as --secret-file.</p>
</div>
"""


def login(version: str, csrf: str, to: str, wrong: str = "") -> Html:
    body = fill(
        _LOGIN,
        csrf=exact(csrf),
        next=exact(to),
        wrong=fill('<p class="wrong" id="wrong" role="alert">{}</p>\n', wrong) if wrong else None,
        invalid=Html(' aria-invalid="true" aria-describedby="wrong"') if wrong else None,
    )
    return bare("Sign in", version, body)


def again(version: str) -> Html:
    """A page that opens the same address again. When a link on another site is followed, the browser sends no cookie,
    but when this page reloads, it does.
    """
    return bare("One moment", version, Html('<meta http-equiv="refresh" content="0"><p><a href="">Continue</a></p>\n'))


def refused(version: str, title: str, what: str, hint: str = "") -> Html:
    body = fill(
        '<div class="card">\n<h1>{}</h1>\n<p>{}</p>\n{}<p><a href="/">Back to the runs</a></p>\n</div>\n',
        *(title, what, fill('<p class="note">{}</p>\n', hint) if hint else None),
    )
    return bare(title, version, body)
