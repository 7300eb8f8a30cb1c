// The map: all photographs as dots in WebGL 2, or on a plain canvas where there is none.
// The bytes of the points are described in map_points.py.
import { at } from "./page.js";

const frame = at("map-graph");
if (frame) {
  const canvas = at("map-canvas");
  const mark = at("map-mark");
  const card = at("map-photo");
  const GROUPS = 9;
  const NEAR = 14; // CSS pixels within which a dot is pointed at
  const MARKED = [224, 53, 95];
  const view = { x: 0.5, y: 0.5, scale: 1 }; // the middle of the map that is shown, and how much nearer
  let points = null;
  let chosen = null; // a Set of class numbers that are highlighted
  let pointed = -1;
  let drawer = null;

  // ---- the points

  function unpack(buffer) {
    const n = new DataView(buffer).getUint32(0, true);
    let start = 4;
    const take = (Kind, size) => {
      const part = buffer.slice(start, start + n * size);
      start += n * size;
      return new Kind(part);
    };
    const x = take(Uint16Array, 2);
    const y = take(Uint16Array, 2);
    const classes = take(Uint32Array, 4);
    const photos = take(Uint32Array, 4);
    const groups = take(Uint8Array, 1);
    for (let row = 1; row < n; row += 1) photos[row] += photos[row - 1];
    return { n, x, y, classes, photos, groups };
  }

  // ---- drawing

  const side = () => Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94 * view.scale;
  // Where points lie on the canvas; the canvas is measured once for all of them.
  function placing() {
    const [wide, high, scale] = [canvas.clientWidth / 2, canvas.clientHeight / 2, side()];
    return {
      x: (row) => wide + (points.x[row] / 65535 - view.x) * scale,
      y: (row) => high - (points.y[row] / 65535 - view.y) * scale,
    };
  }
  const dotSize = () => Math.min(14, 4.5 + 2.5 * Math.log2(1 + view.scale) + (points.n < 2000 ? 2 : 0));

  function colours() {
    const made = [];
    for (let group = 0; group < GROUPS; group += 1) {
      const probe = document.createElement("span");
      probe.className = `group-${group}`;
      frame.append(probe);
      made.push((getComputedStyle(probe).color.match(/[\d.]+/g) || [0, 0, 0]).slice(0, 3).map(Number));
      probe.remove();
    }
    return made;
  }

  const VERTEX = `#version 300 es
    layout(location=0) in vec2 place; layout(location=1) in float group; layout(location=2) in float lit;
    uniform vec2 middle; uniform vec2 wide; uniform float size; uniform vec3 colours[${GROUPS}];
    uniform vec3 marked; uniform float some; flat out int shape; out vec4 colour;
    void main() {
      gl_Position = vec4((place - middle) * wide, 0.0, 1.0);
      gl_PointSize = lit > 0.5 ? size * 1.6 : size;
      shape = int(group);
      colour = lit > 0.5 ? vec4(marked, 1.0) : vec4(colours[shape], some > 0.5 ? 0.35 : 0.85);
    }`;
  const FRAGMENT = `#version 300 es
    precision mediump float; flat in int shape; in vec4 colour; out vec4 shown;
    void main() {
      vec2 p = gl_PointCoord * 2.0 - 1.0; float r = length(p); float a = abs(p.x), b = abs(p.y);
      bool inside = r < 1.0;
      if (shape == 1) inside = max(a, b) < 0.8;
      else if (shape == 2) inside = a + b < 1.0;
      else if (shape == 3) inside = p.y > -0.9 + 1.8 * a && p.y < 0.9;
      else if (shape == 4) inside = -p.y > -0.9 + 1.8 * a && -p.y < 0.9;
      else if (shape == 5) inside = (a < 0.35 || b < 0.35) && max(a, b) < 0.95;
      else if (shape == 6) inside = r < 0.55 + 0.45 * cos(5.0 * atan(p.x, -p.y));
      else if (shape == 7) inside = max(a * 0.866 + b * 0.5, b) < 0.85;
      else if (shape == 8) inside = r < 1.0 && r > 0.6;
      if (!inside) discard;
      shown = vec4(colour.rgb * colour.a, colour.a);
    }`;

  // Each step is a task of its own, so that the page can be used meanwhile.
  const pause = () => new Promise((done) => setTimeout(done, 0));

  // WebGL that a processor computes is slower than `plain`.
  function computed() {
    const gl = document.createElement("canvas").getContext("webgl2");
    if (!gl) return true;
    const info = gl.getExtension("WEBGL_debug_renderer_info");
    const name = gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    const lose = gl.getExtension("WEBGL_lose_context");
    if (lose) lose.loseContext();
    return /swiftshader|llvmpipe|softpipe|software/i.test(String(name));
  }

  async function webgl() {
    if (computed()) return null;
    await pause();
    const gl = canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: true });
    if (!gl) return null;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    const waits = gl.getExtension("KHR_parallel_shader_compile");
    do await new Promise((done) => setTimeout(done, 20));
    while (waits && !gl.getProgramParameter(program, waits.COMPLETION_STATUS_KHR));
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    await pause();
    gl.useProgram(program);
    const attribute = (location, data, size) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, 0, 0);
      return buffer;
    };
    const places = new Float32Array(2 * points.n);
    for (let row = 0; row < points.n; row += 1) {
      places[2 * row] = points.x[row] / 65535;
      places[2 * row + 1] = points.y[row] / 65535;
    }
    attribute(0, places, 2);
    attribute(1, Float32Array.from(points.groups), 1);
    const lit = attribute(2, new Float32Array(points.n), 1);
    const uniform = (name) => gl.getUniformLocation(program, name);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    return {
      how: "webgl",
      light() {
        gl.bindBuffer(gl.ARRAY_BUFFER, lit);
        gl.bufferData(gl.ARRAY_BUFFER, Float32Array.from(points.classes, (one) => (chosen && chosen.has(one) ? 1 : 0)), gl.DYNAMIC_DRAW);
      },
      draw() {
        const ratio = window.devicePixelRatio || 1;
        gl.viewport(0, 0, canvas.width, canvas.height);
        gl.clearColor(0, 0, 0, 0);
        gl.clear(gl.COLOR_BUFFER_BIT);
        gl.uniform2f(uniform("middle"), view.x, view.y);
        gl.uniform2f(uniform("wide"), (2 * side()) / canvas.clientWidth, (2 * side()) / canvas.clientHeight);
        gl.uniform1f(uniform("size"), dotSize() * ratio);
        gl.uniform3fv(uniform("colours"), new Float32Array(colours().flat().map((part) => part / 255)));
        gl.uniform3fv(uniform("marked"), new Float32Array(MARKED.map((part) => part / 255)));
        gl.uniform1f(uniform("some"), chosen ? 1 : 0);
        gl.drawArrays(gl.POINTS, 0, points.n);
      },
    };
  }

  // The outline of a group's shape, 1 from its middle.
  function outline(pen, shape, size) {
    const corners = (count, turn, inner = 1) => {
      for (let corner = 0; corner < count; corner += 1) {
        const far = corner % 2 ? inner : 1;
        const angle = turn + (2 * Math.PI * corner) / count;
        pen.lineTo(size * far * Math.sin(angle), -size * far * Math.cos(angle));
      }
      pen.closePath();
    };
    pen.beginPath();
    if (shape === 1) pen.rect(-0.8 * size, -0.8 * size, 1.6 * size, 1.6 * size);
    else if (shape === 2) corners(4, 0);
    else if (shape === 3) corners(3, 0);
    else if (shape === 4) corners(3, Math.PI);
    else if (shape === 5) {
      pen.rect(-0.35 * size, -0.95 * size, 0.7 * size, 1.9 * size);
      pen.rect(-0.95 * size, -0.35 * size, 1.9 * size, 0.7 * size);
    } else if (shape === 6) corners(10, 0, 0.45);
    else if (shape === 7) corners(6, Math.PI / 6);
    else pen.arc(0, 0, size, 0, 2 * Math.PI);
  }

  function plain() {
    const pen = canvas.getContext("2d");
    // A dot is drawn once and then copied, which is much faster than drawing each.
    const stamp = (shape, colour, size) => {
      const made = document.createElement("canvas");
      made.width = made.height = Math.ceil(size) + 2;
      const draws = made.getContext("2d");
      draws.translate(made.width / 2, made.height / 2);
      outline(draws, shape, size / 2);
      if (shape === 8) {
        draws.lineWidth = Math.max(1, size / 6);
        draws.strokeStyle = colour;
        draws.stroke();
      } else {
        draws.fillStyle = colour;
        draws.fill();
      }
      return made;
    };
    return {
      how: "plain",
      light() {},
      draw() {
        const ratio = window.devicePixelRatio || 1;
        const size = dotSize() * ratio;
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.clearRect(0, 0, canvas.width, canvas.height);
        const where = placing();
        const copy = (row, dot) =>
          pen.drawImage(dot, Math.round(where.x(row) * ratio - dot.width / 2), Math.round(where.y(row) * ratio - dot.height / 2));
        const share = chosen ? 0.35 : 0.85;
        const dots = colours().map((colour, shape) => stamp(shape, `rgba(${colour.join(",")},${share})`, size));
        for (let row = 0; row < points.n; row += 1) copy(row, dots[points.groups[row]]);
        if (!chosen) return;
        const marked = dots.map((_, shape) => stamp(shape, `rgb(${MARKED.join(",")})`, 1.6 * size));
        for (let row = 0; row < points.n; row += 1) {
          if (chosen.has(points.classes[row])) copy(row, marked[points.groups[row]]);
        }
      },
    };
  }

  let waiting = false;
  function redraw() {
    if (waiting || !drawer) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const ratio = window.devicePixelRatio || 1;
      const width = Math.round(canvas.clientWidth * ratio);
      const height = Math.round(canvas.clientHeight * ratio);
      if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
      }
      drawer.draw();
      place();
    });
  }

  // ---- pointing

  // The ring around the dot that is pointed at, and its photograph beside it.
  function place() {
    const hidden = pointed < 0;
    mark.hidden = hidden;
    card.hidden = hidden || card.childElementCount === 0;
    if (hidden) return;
    const where = placing();
    const x = where.x(pointed);
    const y = where.y(pointed);
    mark.style.translate = `${x}px ${y}px`;
    if (card.hidden) return;
    const { offsetWidth: wide, offsetHeight: high } = card;
    const left = x + 18 + wide < frame.clientWidth ? x + 18 : Math.max(4, x - 18 - wide);
    const top = Math.min(Math.max(4, y - high / 2), Math.max(4, frame.clientHeight - high - 4));
    card.style.translate = `${left}px ${top}px`;
  }

  const shownPhotos = new Map();
  let timer = null;

  function point(row) {
    if (row === pointed) return;
    pointed = row;
    clearTimeout(timer);
    card.replaceChildren();
    place();
    if (row < 0) return;
    const photo = points.photos[row];
    timer = setTimeout(async () => {
      if (!shownPhotos.has(photo)) {
        shownPhotos.set(photo, fetch(`/fragments/photo/${photo}`).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null));
      }
      const found = await shownPhotos.get(photo);
      if (found === null) shownPhotos.delete(photo);
      if (found === null || pointed !== row) return;
      card.innerHTML = found.html;
      place();
    }, 60);
  }

  function nearest(x, y) {
    let best = -1;
    let least = NEAR * NEAR;
    const where = placing();
    for (let row = 0; row < points.n; row += 1) {
      const far = (where.x(row) - x) ** 2 + (where.y(row) - y) ** 2;
      if (far < least) {
        least = far;
        best = row;
      }
    }
    return best;
  }

  const inFrame = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const before = side();
    view.scale = Math.min(200, Math.max(1, view.scale * factor));
    const after = side();
    view.x += ((x - canvas.clientWidth / 2) * (1 / before - 1 / after));
    view.y -= ((y - canvas.clientHeight / 2) * (1 / before - 1 / after));
    if (view.scale === 1) Object.assign(view, { x: 0.5, y: 0.5 });
    redraw();
  }

  let dragged = null; // {x, y, moved}

  canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = inFrame(event);
    dragged = { x, y, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!points) return;
    const [x, y] = inFrame(event);
    if (dragged && event.buttons && event.pointerType === "mouse") {
      if (Math.hypot(x - dragged.x, y - dragged.y) > 3) dragged.moved = true;
      view.x -= (x - dragged.x) / side();
      view.y += (y - dragged.y) / side();
      Object.assign(dragged, { x, y });
      redraw();
      return;
    }
    if (event.pointerType === "mouse") {
      const row = nearest(x, y);
      if (row >= 0) point(row);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!points) return;
    const clicked = dragged && !dragged.moved;
    dragged = null;
    if (clicked) point(nearest(...inFrame(event)));
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // else the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...inFrame(event));
  }, { passive: false });
  frame.addEventListener("keydown", (event) => {
    if (!points || event.target !== frame) return;
    const step = 0.1 / view.scale;
    const moves = {
      "+": () => zoom(1.5), "-": () => zoom(1 / 1.5),
      ArrowLeft: () => { view.x -= step; }, ArrowRight: () => { view.x += step; },
      ArrowUp: () => { view.y += step; }, ArrowDown: () => { view.y -= step; },
      Enter: () => point(nearest(canvas.clientWidth / 2, canvas.clientHeight / 2)),
      Escape: () => point(-1),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
    redraw();
  });
  at("map-closer").addEventListener("click", () => zoom(1.7));
  at("map-farther").addEventListener("click", () => zoom(1 / 1.7));
  at("map-reset").addEventListener("click", () => {
    Object.assign(view, { x: 0.5, y: 0.5, scale: 1 });
    redraw();
  });

  // ---- names

  const pick = at("map-pick");
  let asked = 0;

  async function highlight() {
    const text = pick.value.trim();
    const number = (asked += 1);
    let found = { classes: [], names: [], line: "" };
    if (text) {
      try {
        const answer = await fetch(`/map/search?${new URLSearchParams({ q: text })}`);
        if (answer.ok) found = await answer.json();
      } catch {
        return;
      }
    }
    if (number !== asked) return;
    chosen = found.classes.length > 0 ? new Set(found.classes) : null;
    at("map-picked").textContent = found.line;
    const only = found.names.length === 1 ? [] : found.names;
    at("map-found").replaceChildren(...only.map(({ identity, name }) => {
      const row = document.createElement("li");
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: name, className: "link" });
      button.addEventListener("click", () => {
        pick.value = identity;
        highlight();
        pick.focus();
      });
      row.append(button);
      return row;
    }));
    if (drawer) {
      drawer.light();
      redraw();
    }
  }

  let typing = null;
  pick.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(highlight, 200);
  });

  // ---- begin

  async function begin() {
    const answer = await fetch(frame.dataset.points);
    if (!answer.ok) return;
    points = unpack(await answer.arrayBuffer());
    await pause();
    drawer = (await webgl()) || plain();
    frame.dataset.how = drawer.how;
    await pause();
    frame.dataset.drawn = String(points.n);
    new ResizeObserver(redraw).observe(canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    if (pick.value) await highlight();
    redraw();
  }

  begin();
}
