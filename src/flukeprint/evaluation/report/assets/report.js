"use strict";
// Draws the charts of the page when they come into view; plotly.js is unpacked when the first does.
(() => {
  const charts = [...document.querySelectorAll(".chart")];
  const photographs = () => {
    photographs.all ??= JSON.parse(document.getElementById("photographs").textContent);
    return photographs.all;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Without a mouse a finger scrolls the page, not the chart.
  const touch = matchMedia("(pointer: coarse)").matches;

  // On a narrow screen long texts are broken into lines: plotly.js would cut them off.
  const NARROW = 520, LINE = 34, ENTRY = 19, COLUMN = 190;
  function broken(text, most) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const last = lines[lines.length - 1];
      if (last && last.length + word.length >= most) lines.push(word);
      else lines[lines.length - 1] = last ? last + " " + word : word;
    }
    return lines.join("<br>");
  }

  // Room for the names of a legend above its chart; plotly.js would take it from the chart.
  function legendHeight(data, layout, width) {
    if (!layout.showlegend) return 0;
    const names = data.filter((trace) => trace.showlegend !== false).length;
    return ENTRY * Math.ceil(names / Math.max(1, Math.floor(width / COLUMN))) + 10;
  }

  function themed(layout, width, data) {
    const ink = colour("--ink"), grid = colour("--grid"), axis = {
      gridcolor: grid, zerolinecolor: grid, linecolor: colour("--line"), color: ink,
    };
    const made = {
      ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: ink }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: ink, orientation: "v" },
      dragmode: layout.scene ? "turntable" : touch ? false : "zoom",
    };
    const narrow = width < NARROW, above = legendHeight(data, layout, width);
    for (const name of ["xaxis", "yaxis"]) if (layout[name]) made[name] = { ...axis, ...layout[name] };
    if (narrow && made.xaxis) {
      made.height = layout.height + above;
      const lines = broken(layout.xaxis.title.text, LINE);
      made.xaxis.title = { ...layout.xaxis.title, text: lines, font: { size: 12 } };
      made.margin = { ...layout.margin, b: layout.margin.b + 16 * (lines.split("<br>").length - 1) };
      const labels = layout.xaxis.ticktext;
      made.xaxis.ticktext = labels?.map((text) => broken(text, 8));
      made.xaxis.tickfont = { size: 10 };
      if (labels?.length > 4 && labels.some((text) => text.split(/ |<br>/).some((word) => word.length > 7))) {
        made.xaxis.tickangle = -40;
      }
    }
    if (layout.scene) {
      made.height = layout.height + (narrow ? above : 0);
      made.scene = {
        ...layout.scene, domain: { y: [0, 1 - above / made.height] },
        camera: { eye: narrow ? { x: 1.8, y: 1.8, z: 1.35 } : { x: 1.25, y: 1.25, z: 1 }, center: { x: 0, y: 0, z: -0.12 } },
      };
      for (const name of ["xaxis", "yaxis", "zaxis"]) {
        made.scene[name] = { ...axis, backgroundcolor: "rgba(0,0,0,0)", ...layout.scene[name] };
        if (narrow) {
          made.scene[name].title = { ...layout.scene[name].title, font: { size: 10 } };
          made.scene[name].tickfont = { size: 9 };
        }
      }
    }
    made.shapes = (layout.shapes ?? []).map((s) => ({ ...s, line: { ...s.line, color: colour("--muted") } }));
    made.annotations = (layout.annotations ?? []).map((a) => ({ ...a, bgcolor: colour("--paper"), opacity: 0.9 }));
    return made;
  }

  function inked(data, width) {
    const ink = colour("--ink");
    return data.map((t) => {
      if (t.type === "bar" && t.error_y) return { ...t, error_y: { ...t.error_y, color: ink } };
      // Cells with their text in them need the room more than a scale does.
      if (t.type === "heatmap" && t.text && width < NARROW) return { ...t, showscale: false };
      return t;
    });
  }

  let unpacked;
  function plotly() {
    unpacked ??= (async () => {
      if (typeof DecompressionStream === "undefined") throw new Error("too old");
      const packed = atob(document.getElementById("plotly").textContent.trim());
      const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      if (!window.Plotly) throw new Error("not run");
      return window.Plotly;
    })();
    return unpacked;
  }

  const hover = document.getElementById("hover"), shown = hover.querySelector("img");
  // Where the cursor is: plotly.js does not say so of points in space.
  const cursor = { x: 0, y: 0 };
  addEventListener("pointermove", ({ clientX, clientY }) => {
    cursor.x = clientX;
    cursor.y = clientY;
  }, { passive: true });

  function show(place) {
    const photograph = photographs()[place];
    if (!photograph) return;
    shown.src = "data:image/jpeg;base64," + photograph;
    hover.style.display = "block";
    const { x, y } = cursor, side = 176;
    hover.style.left = Math.max(4, x + 20 + side > innerWidth ? x - side - 16 : x + 20) + "px";
    hover.style.top = Math.max(4, Math.min(y + 24, innerHeight - side)) + "px";
  }
  function hide() { hover.style.display = "none"; }

  async function draw(box) {
    const { data, layout, photos } = JSON.parse(document.getElementById("data-" + box.dataset.chart).textContent);
    let library;
    try {
      library = await plotly();
    } catch {
      box.querySelector(".waiting").textContent = "This browser cannot unpack the charts; they lie beside this page as PNG files.";
      return;
    }
    box.textContent = "";
    // Named one by one: a button that sends charts to a site is none of them.
    const buttons = layout.scene ? ["zoom3d", "pan3d", "tableRotation", "resetCameraDefault3d"] : ["zoom2d", "pan2d", "resetScale2d"];
    const config = {
      responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover", modeBarButtons: [["toImage", ...buttons]],
    };
    const drawing = () => {
      const made = themed(layout, box.clientWidth, data);
      box.style.minHeight = made.height + "px";
      return [inked(data, box.clientWidth), made, config];
    };
    await library.newPlot(box, ...drawing());
    box.dataset.drawn = "yes";
    box.on("plotly_hover", ({ points }) => {
      const place = points[0].customdata;
      if (photos && place >= 0) show(photos[place]);
    });
    box.on("plotly_unhover", hide);
    box.redrawn = () => library.react(box, ...drawing());
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "400px" });
  charts.forEach((box) => seen.observe(box));
  addEventListener("scroll", hide, { passive: true });
  addEventListener("beforeprint", () => charts.filter((box) => !box.dataset.drawn).forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    charts.forEach((box) => box.redrawn?.());
  });
})();
