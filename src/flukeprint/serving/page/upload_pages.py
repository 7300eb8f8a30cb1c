"""The pages that take photographs: a context enters, the components of a page leave.

Photographs themselves stay with the page's scripts; they are shown, and sent, by the browser.
Elements with `data-act` are what those scripts listen to.
"""

from dash import html
from dash.development.base_component import Component

from flukeprint.serving.page.context import Content, PageContext, aria, data


def identify_page(context: PageContext) -> Content:
    """Choose, drop, paste or take photographs of one encounter; examples; the answer."""
    info = context.info
    counts = {"photos": context.number(info.photos), "classes": context.number(info.classes)}
    side = [
        html.Section(
            [
                html.Div(
                    [
                        chooser(context, "choose", "identify-choose", "file-identify"),
                        html.Button(
                            context.say("camera"),
                            id="identify-camera",
                            className="button plain camera",
                            **data(act="choose", input="file-camera"),
                        ),
                    ],
                    className="buttons",
                ),
                html.P(context.say("or_drop"), className="hint with-pointer"),
                html.P(context.say("one_encounter", **context.limits()), className="hint"),
            ],
            className="drop",
            id="identify-drop",
        ),
        *_photographs(context, "identify"),
    ]
    return [
        heading(context.say_kind("identify_title")),
        html.P(context.say_kind("identify_lead", **counts), className="lead"),
        html.Div(
            [
                html.Div(side, className="side"),
                html.Div(
                    [html.Section(id="identify-result", className="result"), _examples(context)],
                    className="body",
                ),
            ],
            className="columns",
        ),
        _status("identify"),
    ]


def verify_page(context: PageContext) -> Content:
    """Two photographs: the same, or different."""
    title = heading(context.say_kind("verify_title"))
    if context.info.verify is None:
        return [title, html.P(context.say("verify_none"), className="lead")]
    halves = [
        html.Section(
            [
                html.H2(context.say(f"verify_{side}"), className="quiet"),
                html.Div(id=f"verify-{side}-photo", className="previews"),
                chooser(context, "choose_one", f"verify-choose-{side}", f"file-verify-{side}"),
            ],
            className="drop half",
        )
        for side in ("first", "second")
    ]
    return [
        title,
        html.P(context.say_kind("verify_lead"), className="lead"),
        html.Div(halves, className="halves"),
        html.P(context.say("or_drop"), className="hint with-pointer"),
        html.Div(id="verify-progress-view", className="progress"),
        html.Section(id="verify-result", className="result"),
        _status("verify"),
    ]


def review_page(context: PageContext) -> Content:
    """The queue: one photograph after the other, decided by mouse or keyboard."""
    decide = [
        _button(context, "review_back", "review-back", act="go", step="-1"),
        _button(context, "review_new", "review-new", act="decide", decision="n"),
        _button(context, "review_unsure", "review-unsure", act="decide", decision="u"),
        _button(context, "review_next", "review-next", act="go", step="1"),
    ]
    keys = html.Div(
        [
            html.Button(
                context.say("review_keys"),
                id="review-keys",
                className="button plain small toggle",
                **aria(pressed="true", describedby="review-keys-hint"),
                **data(act="keys"),
            ),
            html.P(context.say("review_keys_hint"), id="review-keys-hint", className="hint"),
        ],
        className="keys with-pointer",
    )
    ranker = [
        html.Div(id="review-photo", className="previews"),
        html.Div(
            [html.Div(id="review-headline"), html.Div(decide, className="buttons"), keys],
            className="decide",
        ),
    ]
    ends = [
        _button(context, "review_download", "review-download", act="download"),
        _button(context, "review_resend", "review-resend", act="resend"),
    ]
    return [
        heading(context.say("review_title")),
        html.P(context.say("review_lead"), className="lead"),
        html.Div(
            [
                chooser(context, "choose", "review-choose", "file-review"),
                html.P(context.say("or_drop"), className="hint with-pointer"),
            ],
            className="drop",
        ),
        html.Div(
            [
                html.Div(ranker, className="columns review"),
                html.Section(id="review-candidates", className="result"),
                html.H2(context.say("review_queue"), className="quiet"),
                html.P(id="review-count", role="status"),
                html.Ol(id="review-queue", className="queue"),
                html.Div(ends, className="buttons"),
            ],
            id="review-ranker",
            hidden=True,
        ),
    ]


def chooser(context: PageContext, key: str, name: str, input_: str) -> Component:
    """A button that opens a hidden file input of the document."""
    return html.Button(
        context.say(key), id=name, className="button", **data(act="choose", input=input_)
    )


def heading(text: str) -> Component:
    """The title of a page; scripts move the focus to it when a page is reached."""
    return html.H1(text, id="page-title", tabIndex=-1)


def _button(context: PageContext, key: str, name: str, **acts: str) -> Component:
    return html.Button(context.say(key), id=name, className="button plain", **data(**acts))


def _photographs(context: PageContext, flow: str) -> list[Component]:
    """Where the browser shows what was chosen, and how far sending is."""
    label = context.say("your_photos")
    return [
        html.Div(id=f"{flow}-progress-view", className="progress"),
        html.Section(id=f"{flow}-photos-view", className="previews", **aria(label=label)),
    ]


def _status(flow: str) -> Component:
    """What is read out: a phase of sending, then the answer in one line."""
    return html.Div(
        [html.Span(id=f"{flow}-status-progress"), html.Span(id=f"{flow}-status-answer")],
        role="status",
        className="heard",
        id=f"{flow}-status",
    )


def _examples(context: PageContext) -> Component:
    if context.info.examples == 0:
        return html.Div()
    shown = [
        html.Li(
            html.Button(
                html.Img(
                    src=f"/v1/examples/{number}",
                    alt=context.say("example", number=str(number + 1)),
                    width="160",
                    height="120",
                ),
                id=f"example-{number}",
                **data(act="example", number=str(number)),
            )
        )
        for number in range(context.info.examples)
    ]
    return html.Section(
        [html.H2(context.say("examples"), className="quiet"), html.Ul(shown)],
        className="examples",
        id="examples",
    )
