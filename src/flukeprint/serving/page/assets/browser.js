"use strict";
// The callbacks that run in the browser: functions of properties of Dash's components.
(() => {
  const fluke = (window.flukeprint = window.flukeprint || {});
  const LANGUAGES = ["en", "es"];
  let texts = {};
  let language = "en";
  let path = null; // of the page that was shown last

  const same = () => window.dash_clientside.no_update;

  function translate(key, values = {}) {
    const text = (texts[language] || {})[key] || "";
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  }

  fluke.translate = translate;

  // A component of Dash, in the form in which callbacks in Python return it.
  const part = (type, children, props = {}) =>
    ({ namespace: "dash_html_components", type, props: { ...props, children } });
  const link = (children, href) =>
    ({ namespace: "dash_core_components", type: "Link", props: { children, href } });

  const preview = (photo) =>
    photo.shown
      ? part("Img", null, { src: photo.url, alt: translate("your_photo", { name: photo.name }), className: "photo" })
      : part("P", translate("not_shown", { name: photo.name }), { className: "photo unseen" });

  const photoOf = (search) => {
    const text = new URLSearchParams(search).get("photo") || "";
    return /^\d{1,9}$/.test(text) ? Number(text) : null;
  };

  // Sets the language of the document and of the texts in scripts.
  function useLanguage(chosen, known, limits) {
    texts = known;
    fluke.limits = limits;
    const preferred = [chosen, ...(navigator.languages || [navigator.language])];
    const short = preferred.map((tag) => String(tag || "").slice(0, 2).toLowerCase());
    language = short.find((tag) => LANGUAGES.includes(tag)) || "en";
    document.documentElement.lang = language;
    document.getElementById("drop-over").dataset.text = translate("drop");
    return language;
  }

  // After a page is shown: sets the window's title, and moves the focus if it followed another page.
  function arrived(children, pathname) {
    if (!children) return same();
    requestAnimationFrame(() => {
      const title = document.getElementById("page-title");
      const brand = document.querySelector(".brand .title");
      if (!title) return;
      document.title = brand ? `${title.textContent} · ${brand.textContent}` : title.textContent;
      if (path !== null && path !== pathname) title.focus({ preventScroll: true });
      path = pathname;
    });
    return same();
  }

  // Scrolls an answer that has just arrived into view, if it would be below the fold.
  function answered(children) {
    if (children && children.length !== 0) fluke.gone(null); // the page itself shows it
    if (!fluke.fresh || !children || children.length === 0) return same();
    fluke.fresh = false;
    requestAnimationFrame(() => {
      const result = document.getElementById("identify-result");
      if (!result || result.getBoundingClientRect().top < 0.6 * window.innerHeight) return;
      const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      result.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
    });
    return same();
  }

  function progress(state, _, id) {
    if (!state) return [null, ""];
    const text = translate(state.phase, { seconds: state.seconds });
    const bar = state.phase === "sending" ? { value: String(state.share), max: "1" } : {};
    const flow = id.split("-")[0];
    const stop = part("Button", translate("cancel"), {
      id: `${flow}-cancel`, className: "button plain small", "data-act": "cancel", "data-flow": flow,
    });
    const shown = [part("P", text), part("Progress", null, { ...bar, "aria-label": text }), stop];
    return [shown, text];
  }

  const halves = (photos) => [0, 1].map((at) => (photos && photos[at] ? preview(photos[at]) : null));

  function queue(list) {
    if (!list || list.items.length === 0) return [null, "", true, true];
    const rows = list.items.map((item, index) => {
      const decision =
        item.decision === "accepted" ? item.label
          : item.decision ? translate(`review_${item.decision}`)
            : translate(`review_${item.state === "answered" ? "open" : item.state}`);
      return part(
        "Li",
        part("Button", [part("Span", item.name, { className: "file" }), part("Span", decision, { className: "decision" })], {
          className: `queued ${item.decision || item.state}`,
          "data-act": "show",
          "data-index": String(index),
          "aria-current": index === list.at ? "true" : "false",
        }),
      );
    });
    const count = (wanted) => list.items.filter(wanted).length;
    const summary = translate("review_done", {
      decided: count((item) => item.decision !== ""),
      answered: count((item) => item.state === "answered"),
      total: list.items.length,
    });
    return [rows, summary, false, !list.items.some((item) => item.state === "failed")];
  }

  function reviewed(current) {
    const photo = current ? fluke.review.previewOf(current.index) : null;
    if (!current) return null;
    const name = part("P", current.name, { className: "file" });
    return photo ? [preview(photo), name] : [name];
  }

  const keys = (used) => (used === false ? "false" : "true");

  async function similar(pathname, search) {
    const photo = photoOf(search);
    if (pathname !== "/similar" || photo === null) return null;
    return fluke.get(`/v1/photos/${photo}/similar`);
  }

  function pointed(hover, click, _, limits) {
    const event = window.dash_clientside.callback_context.triggered.some(({ prop_id }) => prop_id.endsWith("clickData"))
      ? click : hover || click;
    const point = event && event.points && event.points[0];
    if (!point || !point.customdata) return part("P", translate("map_hint"), { className: "hint" });
    const [photo, , name] = point.customdata;
    const caption = [part("P", name, { className: "tile-name" })];
    if (!limits.thumbnails) return caption;
    const src = `/v1/photos/${Number(photo)}`;
    const alt = translate("map_photo", { photo, name });
    return [
      part("Img", null, { src, alt, className: "photo", id: "map-photo-image" }),
      ...caption,
      link(translate("map_similar"), `/similar?photo=${Number(photo)}`),
    ];
  }

  // Draws rings around the photos of the named class; a click on reset shows the whole map.
  function picked(name, clicks, figure) {
    const groups = figure.data.slice(0, -1);
    const ring = { ...figure.data[figure.data.length - 1], x: [], y: [], customdata: [] };
    const wanted = (name || "").trim().toLowerCase();
    for (const group of groups) {
      group.customdata.forEach((custom, at) => {
        if (wanted === "" || !custom.slice(1).some((known) => known.toLowerCase() === wanted)) return;
        ring.x.push(group.x[at]);
        ring.y.push(group.y[at]);
        ring.customdata.push(custom);
      });
    }
    const coarse = window.matchMedia("(pointer: coarse)").matches;
    const layout = {
      ...figure.layout,
      uirevision: String(clicks || 0),
      dragmode: coarse ? false : "pan", // a finger scrolls the page
    };
    const status = wanted === "" ? ""
      : ring.x.length > 0 ? translate("map_found", { count: ring.x.length }) : translate("map_not_found");
    return [{ ...figure, data: [...groups, ring], layout }, status];
  }

  // Keeps the filter in the address, without an entry in the browser's history for each letter.
  function filtered(text) {
    if (window.location.pathname !== "/classes") return same();
    const current = new URLSearchParams(window.location.search);
    if ((text || "").trim() !== (current.get("q") || "")) {
      const query = (text || "").trim() ? `?${new URLSearchParams({ q: text.trim() })}` : "";
      window.history.replaceState(window.history.state, "", `/classes${query}`);
    }
    return same();
  }

  window.addEventListener("popstate", () => {
    if (window.location.pathname !== "/classes" || !document.getElementById("classes-filter")) return;
    const value = new URLSearchParams(window.location.search).get("q") || "";
    window.dash_clientside.set_props("classes-filter", { value });
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    flukeprint: {
      language: useLanguage,
      arrived,
      answered,
      progress,
      photos: (photos) => (photos || []).map(preview),
      halves,
      queue,
      reviewed,
      keys,
      similar,
      pointed,
      picked,
      filtered,
    },
  });
})();
