"""The page about the service: catalogue and network, accuracy, decisions, and what is kept."""

import htpy as html
from htpy import Element

from flukeprint.serving.api.schemas import Accuracy
from flukeprint.serving.page.context import Content, PageContext
from flukeprint.serving.page.i18n import percent, probability, rank_name
from flukeprint.serving.page.views.photographs import heading


def about_page(context: PageContext) -> Content:
    """The components of the page."""
    return [
        heading(context.text("about_title")),
        html.div(class_="about")[
            html.section(id="about-accuracy")[
                html.h2[context.text("about_accuracy")], *_accuracy(context)
            ],
            html.section(id="about-collection")[
                html.h2[context.text("about_collection")], _collection(context)
            ],
            html.section(id="about-decisions")[
                html.h2[context.text("about_decisions")], *_decisions(context)
            ],
            html.section(id="about-kept")[html.h2[context.text("about_kept")], *_kept(context)],
        ],
    ]


def _facts(rows: list[tuple[str, str]]) -> Element:
    return html.dl(class_="facts")[
        [html.div[html.dt[term], html.dd[value]] for term, value in rows]
    ]


def _collection(context: PageContext) -> Element:
    info = context.info
    millions = context.number(info.parameters / 1e6, 1)
    network = f"{info.backbone}, {context.text('about_parameters', millions=millions)}"
    return _facts(
        [
            (context.text("about_collection"), info.title),
            (context.text("about_photos"), context.number(info.photos)),
            (context.kind_text("about_classes"), context.number(info.classes)),
            (context.text("about_model"), network),
            (
                context.text("about_dim"),
                context.text("about_dim_text", dim=context.number(info.embedding_dim)),
            ),
            (context.text("about_digest"), info.model),
            (context.text("about_version"), info.version),
            (context.text("about_formats"), context.text("about_formats_text", **context.limits())),
        ]
    )


def _accuracy(context: PageContext) -> Content:
    measured = context.info.accuracy
    if measured is None:
        return [html.p[context.text("about_unmeasured")]]
    counts = {
        "queries": context.number(measured.queries),
        "new": context.number(measured.new_queries),
    }
    language = context.language
    rows = [
        (context.text("about_top1"), percent(language, measured.top1, 1)),
        (context.text("about_top5"), percent(language, measured.top5, 1)),
        (context.text("about_map5"), _interval(context, measured)),
    ]
    figures = [html.div(class_="figure")[html.dt[term], html.dd[value]] for term, value in rows]
    key = "about_measured" if measured.new_queries else "about_measured_known"
    content: Content = [html.p[context.text(key, **counts)], html.dl(class_="big")[figures]]
    if context.info.measured_by is not None:
        content.append(html.p[context.text("about_further")])
    return content


def _interval(context: PageContext, measured: Accuracy) -> str:
    ends = {"mean": measured.map5, "low": measured.map5_low, "high": measured.map5_high}
    values = {name: context.number(value, 3) for name, value in ends.items()}
    return context.text("about_interval", **values)


def _decisions(context: PageContext) -> Content:
    info = context.info
    if info.threshold is None:
        lines = [context.text("about_no_threshold")]
    else:
        threshold = context.number(info.threshold, 2)
        lines = [context.kind_text("about_threshold", threshold=threshold)]
    if info.outside is not None:
        lines.append(context.text("about_outside", outside=context.number(info.outside, 2)))
    if info.confidence is not None:
        ranks = ", ".join(rank_name(context.language, rank) for rank in info.ranks)
        share = probability(context.language, info.confidence)
        lines.append(context.text("about_confidence", ranks=ranks, percent=share))
    lines.append(context.text("about_calibrated" if info.calibrated else "about_uncalibrated"))
    return [html.p[line] for line in lines]


def _kept(context: PageContext) -> Content:
    lines = [context.text("privacy"), context.text("about_kept_browser")]
    if context.info.enroll:
        lines.append(context.text("about_enroll"))
    if context.info.people and not context.info.catalogue:
        lines.append(context.text("about_no_catalogue"))
    return [
        *(html.p[line] for line in lines),
        html.p[html.a(href="/docs")[context.text("footer_api")]],
    ]
