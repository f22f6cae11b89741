// Mouse, touch, pen, wheel, keys and buttons.

const WHEEL = 0.0015; // of the logarithm of the zoom, per pixel of the wheel's way
const STEP = 60; // CSS pixels for an arrow key

class Controls {
  // act: {pan(down, right), zoom(factor, down, right)} in CSS pixels from the window's centre, and an action for each name.
  constructor(canvas, act) {
    this.act = act;
    this.pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
    });
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => act.zoom(event.shiftKey ? 0.5 : 2, ...place(event)));
    addEventListener("keydown", (event) => this.key(event));
  }

  moved(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = spread([...this.pointers.values()]);
    this.pointers.set(event.pointerId, place(event));
    const after = spread([...this.pointers.values()]);
    this.act.pan(after.down - before.down, after.right - before.right);
    if (this.pointers.size > 1 && before.width) this.act.zoom(after.width / before.width, after.down, after.right);
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    this.act.zoom(Math.exp(-pixels * WHEEL * (event.ctrlKey ? 6 : 1)), ...place(event)); // a pinch on a touch pad
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { act } = this, keys = {
      ArrowUp: () => act.pan(STEP, 0), ArrowDown: () => act.pan(-STEP, 0),
      ArrowLeft: () => act.pan(0, STEP), ArrowRight: () => act.pan(0, -STEP),
      "+": () => act.zoom(1.5, 0, 0), "=": () => act.zoom(1.5, 0, 0), "-": () => act.zoom(1 / 1.5, 0, 0),
      0: act.fit, 1: act.actual, g: act.lines, p: act.blocks, o: act.outside, h: act.bare, f: act.full, "?": act.help,
    };
    const action = keys[event.key] || keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

// A pointer's place: down and right of the window's centre, in CSS pixels.
function place(event) {
  return [event.clientY - innerHeight / 2, event.clientX - innerWidth / 2];
}

// The middle of some places, and how far apart they are.
function spread(places) {
  const [down, right] = [0, 1].map((i) => places.reduce((sum, p) => sum + p[i], 0) / places.length);
  const width = places.reduce((sum, p) => sum + Math.hypot(p[0] - down, p[1] - right), 0) / places.length;
  return { down, right, width };
}
