"""The page with the open questions of runs, and with the decisions on earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kosmolua.console.access import Visitor
from kosmolua.console.layout import basename, cut, empty, facts, form, link, table, when
from kosmolua.journal.approvals import Approval, who
from kosmolua.page.details import badge
from kosmolua.page.markup import Html, fill, join

LIMIT, DECIDED = 50, 50  # open and decided questions on the page
LONGEST = 4_000  # the maximum characters of arguments
REASON = 1_000  # the maximum characters of a reason
_NAMES = 80
_DIGITS = 12  # hexadecimal digits shown of a digest
_HEADS = ("Call", "Decision", "Decided", "Reason", "Run")
_BUTTONS = """<label for="reason-{id}">Reason <span class="soft">(the script gets it if you deny)</span></label>
<textarea id="reason-{id}" name="reason" rows="2" maxlength="{most}"></textarea>
<div class="buttons"><button class="main" name="verdict" value="approved">Approve{all}</button>
<button class="danger" name="verdict" value="denied">Deny{all}</button></div>"""


def content(
    waiting: Sequence[Approval], more: int, decided: Sequence[Approval], visitor: Visitor, now: float
) -> list[Html]:
    parts = [Html('<div class="head"><h1>Approvals</h1></div>\n')]
    if waiting:
        parts += [question(each, visitor, now) for each in waiting]
        parts.append(fill('<p class="note">and {} more</p>\n', more) if more > 0 else Html())
    else:
        words = "A run asks if the policy of its worker says ask. Its question then waits here. Try it:"
        parts.append(empty("Nothing to decide", words, "kosmo worker --write ask"))
    if decided:
        rows = [_decided(each, now) for each in decided]
        parts.append(Html("<h2>Decided</h2>\n"))
        parts.append(table("decided", "Decided questions, newest first", _HEADS, rows))
    return parts


def single(one: Approval, visitor: Visitor, now: float) -> list[Html]:
    """The page of one question."""
    head = Html('<div class="head"><h1>Approval</h1></div>\n')
    parts = [head, question(one, visitor, now)]
    if one.status != "open":
        parts.append(table("decided", "The decision", _HEADS, [_decided(one, now)]))
    return parts


def question(one: Approval, visitor: Visitor, now: float) -> Html:
    """A question with everything that its decision applies to, and the buttons for the decision."""
    cost = "unknown" if one.estimate is None else f"about {one.estimate:g}"
    shown = facts(
        [
            ("Script", link(f"/runs/{one.run}", cut(basename(one.script), _NAMES))),
            ("Account", one.account),
            ("Expected cost", cost if one.access == "write" else None),
            ("Asked", when(one.asked_at, now)),
            ("Expires", when(one.expires_at, now) if one.status == "open" else None),
            ("Submitted by", one.submitted_by),
            ("May decide", cut(who(one), _NAMES * 5) if one.status == "open" else None),
            ("Asks because", one.why),
            ("Digest", fill('<code title="{}">{}</code>', one.digest, one.digest[:_DIGITS])),
        ]
    )
    return fill(
        '<article class="question" id="approval-{}">\n<h2>{} {}</h2>\n<pre>{}</pre>\n{}{}</article>\n',
        *(one.id, one.function, _status(one)),
        *(cut(_indented(one.arguments), LONGEST), shown, _form(one, visitor)),
    )


def _status(one: Approval) -> Html:
    return badge("pending", "waits") if one.status == "open" else badge(one.status)


def _indented(arguments: str) -> str:
    """JSON on several lines; other text, such as truncated JSON, is returned unchanged."""
    try:
        return msgspec.json.format(arguments, indent=2)
    except msgspec.MsgspecError:
        return arguments


def _form(one: Approval, visitor: Visitor) -> Html:
    if one.status != "open":
        return Html()
    if not visitor.may_approve:
        return Html('<p class="note">Sign in with a secret for the role approve to decide.</p>\n')
    buttons = fill(_BUTTONS, id=one.id, most=REASON, all=None)
    return form(visitor, f"/approvals/{one.id}", buttons, {"questions": f"{one.id}:{one.digest}"})


def _decided(one: Approval, now: float) -> tuple[Html | str | None, ...]:
    by = " ".join(part for part in (one.decided_by, f"by {one.acting}" if one.acting else "") if part)
    at = one.decided_at if one.decided_at is not None else one.expires_at
    return (
        fill('{}<br><code class="soft">{}</code>', link(f"/approvals/{one.id}", one.function, name="name"), one.id),
        fill('{}<span class="about">{}</span>', badge(one.status), by),
        when(at, now),
        cut(one.reason or "", 2 * _NAMES),
        link(f"/runs/{one.run}", cut(basename(one.script), _NAMES)),
    )


def section(found: Sequence[Approval], visitor: Visitor, now: float) -> Html:
    """The section with the open questions of one run; empty if there are none."""
    if not found:
        return Html()
    return fill(
        '<section aria-labelledby="questions">\n<h2 id="questions">Waiting for approval</h2>\n{}{}</section>\n',
        _together(found, visitor) if visitor.may_approve and len(found) > 1 else None,
        join(question(each, visitor, now) for each in found),
    )


def _together(found: Sequence[Approval], visitor: Visitor) -> Html:
    """A form that decides all of the shown questions, or none if one of them has changed."""
    every = f" all {len(found)}"
    buttons = fill(_BUTTONS, id="all", most=REASON, all=every)
    questions = ",".join(f"{each.id}:{each.digest}" for each in found)
    sent = form(visitor, f"/runs/{found[0].run}/decide", buttons, {"questions": questions})
    return fill(
        '<details class="action question" id="together"><summary>Decide{} at once…</summary>{}</details>\n', every, sent
    )


def chosen(text: str) -> dict[str, str]:
    """The questions in a form: the id of each, with the digest that the page showed."""
    pairs = (each.partition(":") for each in text.split(","))
    return {identifier: digest for identifier, _, digest in pairs if identifier}
