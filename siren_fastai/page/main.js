// The page: reads what the file holds, draws it, and answers.

const find = (name) => document.getElementById(name);
const page = JSON.parse(find("page").textContent);
const options = { lines: false, blocks: false, outside: false };

function bytes(name) {
  return Uint8Array.from(atob(find(name).textContent), (letter) => letter.charCodeAt(0));
}

function fail(message) {
  find("message").textContent = message;
  find("message").hidden = false;
  find("tools").hidden = true;
}

function describe() {
  document.title = page.title;
  find("title").textContent = page.title;
  find("image").setAttribute("aria-label", page.title);
  find("facts").textContent = page.facts.join(" · ");
}

function start() {
  const canvas = find("image");
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false });
  if (!gl) throw new Error("This page needs WebGL2, which this browser lacks or has switched off. A current Firefox, Chrome, Edge or Safari has it.");
  const data = {
    units: new Float64Array(bytes("units").buffer),
    weights: new (page.half ? Uint16Array : Float32Array)(bytes("weights").buffer),
    labels: bytes("labels"),
  };
  const view = new View(page.height, page.width);
  let painter = new Painter(gl, page, data), screen = new Screen(canvas, painter), touched = false;

  const draw = () => {
    find("scale").textContent = `zoom ${scaled(view.zoom / devicePixelRatio)}×`;
    screen.request(view, options);
  };
  const resize = () => {
    const [width, height] = [innerWidth, innerHeight].map((n) => Math.max(1, Math.round(n * devicePixelRatio)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    if (!touched) view.fit(height, width);
    draw();
  };
  const change = (action) => (...numbers) => {
    touched = true;
    action(...numbers);
    draw();
  };
  const toggle = (name) => () => {
    options[name] = !options[name];
    view.outside = options.outside;
    view.hold();
    find(name)?.setAttribute("aria-pressed", options[name]);
    draw();
  };
  const zoom = change((factor, down, right) => {
    const density = devicePixelRatio;
    view.zoomAt(factor, down * density, right * density, [canvas.height, canvas.width]);
  });
  const act = {
    pan: change((down, right) => view.pan(down * devicePixelRatio, right * devicePixelRatio)),
    zoom,
    fit: () => {
      touched = false;
      resize();
    },
    actual: change(() => (view.zoom = devicePixelRatio)),
    lines: toggle("lines"),
    blocks: toggle("blocks"),
    outside: toggle("outside"),
    bare: () => document.body.classList.toggle("bare"),
    full: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.()),
    help: () => find("help").showModal(),
  };
  new Controls(canvas, act);
  const buttons = { in: () => zoom(2, 0, 0), out: () => zoom(0.5, 0, 0), fit: act.fit, lines: act.lines, blocks: act.blocks, more: act.help };
  for (const [name, action] of Object.entries(buttons)) find(name).addEventListener("click", action);
  addEventListener("resize", resize);
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault(); // so that it comes back
    screen.stop();
  });
  canvas.addEventListener("webglcontextrestored", () => {
    painter = new Painter(gl, page, data);
    screen = new Screen(canvas, painter);
    draw();
  });
  resize();
  canvas.focus();
  return { page, view, draw, pixels: (...numbers) => painter.pixels(...numbers), screen: () => screen };
}

function scaled(zoom) {
  if (zoom >= 1e5) return zoom.toExponential(1).replace("+", "");
  return zoom >= 100 ? zoom.toFixed(0) : zoom.toPrecision(3);
}

describe();
try {
  window.sirenPage = start();
} catch (error) {
  fail(error.message);
  throw error;
}
