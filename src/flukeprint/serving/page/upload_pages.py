"""The pages that take photographs: identify, verify and review.

The page's scripts show the photographs and send them to the API.  Elements with `data-act` are
the ones whose clicks those scripts handle.
"""

from dash import html
from dash.development.base_component import Component

from flukeprint.serving.page.context import Content, PageContext, aria, data


def identify_page(context: PageContext) -> Content:
    """The page for identifying: choose, drop, paste or take photographs of one encounter."""
    info = context.info
    counts = {"photos": context.number(info.photos), "classes": context.number(info.classes)}
    side = [
        html.Section(
            [
                html.Div(
                    [
                        chooser(context, "choose", "identify-choose", "file-identify"),
                        html.Button(
                            context.text("camera"),
                            id="identify-camera",
                            className="button plain camera",
                            **data(act="choose", input="file-camera"),
                        ),
                    ],
                    className="buttons",
                ),
                html.P(context.text("or_drop"), className="hint with-pointer"),
                html.P(context.text("one_encounter", **context.limits()), className="hint"),
            ],
            className="drop",
            id="identify-drop",
        ),
        *_photographs(context, "identify"),
    ]
    return [
        heading(context.kind_text("identify_title")),
        html.P(context.kind_text("identify_lead", **counts), className="lead"),
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
    """The page for comparing two photographs."""
    title = heading(context.kind_text("verify_title"))
    if context.info.verify is None:
        return [title, html.P(context.text("verify_none"), className="lead")]
    halves = [
        html.Section(
            [
                html.H2(context.text(f"verify_{side}"), className="quiet"),
                html.Div(id=f"verify-{side}-photo", className="previews"),
                chooser(context, "choose_one", f"verify-choose-{side}", f"file-verify-{side}"),
            ],
            className="drop half",
        )
        for side in ("first", "second")
    ]
    return [
        title,
        html.P(context.kind_text("verify_lead"), className="lead"),
        html.Div(halves, className="halves"),
        html.P(context.text("or_drop"), className="hint with-pointer"),
        html.Div(id="verify-progress-view", className="progress"),
        html.Section(id="verify-result", className="result"),
        _status("verify"),
    ]


def review_page(context: PageContext) -> Content:
    """The page of the review queue: photographs decided one by one, by mouse or keyboard."""
    decide = [
        _button(context, "review_back", "review-back", act="go", step="-1"),
        _button(context, "review_new", "review-new", act="decide", decision="n"),
        _button(context, "review_unsure", "review-unsure", act="decide", decision="u"),
        _button(context, "review_next", "review-next", act="go", step="1"),
    ]
    keys = html.Div(
        [
            html.Button(
                context.text("review_keys"),
                id="review-keys",
                className="button plain small toggle",
                **aria(pressed="true", describedby="review-keys-hint"),
                **data(act="keys"),
            ),
            html.P(context.text("review_keys_hint"), id="review-keys-hint", className="hint"),
        ],
        className="keys with-pointer",
    )
    panel = [
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
        heading(context.text("review_title")),
        html.P(context.text("review_lead"), className="lead"),
        html.Div(
            [
                chooser(context, "choose", "review-choose", "file-review"),
                html.P(context.text("or_drop"), className="hint with-pointer"),
            ],
            className="drop",
        ),
        html.Div(
            [
                html.Div(panel, className="columns review"),
                html.Section(id="review-candidates", className="result"),
                html.H2(context.text("review_queue"), className="quiet"),
                html.P(id="review-count", role="status"),
                html.Ol(id="review-queue", className="queue"),
                html.Div(ends, className="buttons"),
            ],
            id="review-panel",
            hidden=True,
        ),
    ]


def chooser(context: PageContext, key: str, name: str, input_: str) -> Component:
    """A button that opens the hidden file input `input_` of the document."""
    return html.Button(
        context.text(key), id=name, className="button", **data(act="choose", input=input_)
    )


def heading(text: str) -> Component:
    """The title of a page, to which scripts move the focus when the page is opened."""
    return html.H1(text, id="page-title", tabIndex=-1)


def _button(context: PageContext, key: str, name: str, **acts: str) -> Component:
    return html.Button(context.text(key), id=name, className="button plain", **data(**acts))


def _photographs(context: PageContext, flow: str) -> list[Component]:
    """The places where the browser shows chosen photographs, and the progress of sending."""
    label = context.text("your_photos")
    return [
        html.Div(id=f"{flow}-progress-view", className="progress"),
        html.Section(id=f"{flow}-photos-view", className="previews", **aria(label=label)),
    ]


def _status(flow: str) -> Component:
    """The text for screen readers: the phase of sending, then the answer in one line."""
    return html.Div(
        [html.Span(id=f"{flow}-status-progress"), html.Span(id=f"{flow}-status-answer")],
        role="status",
        className="visually-hidden",
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
                    alt=context.text("example", number=str(number + 1)),
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
        [html.H2(context.text("examples"), className="quiet"), html.Ul(shown)],
        className="examples",
        id="examples",
    )
