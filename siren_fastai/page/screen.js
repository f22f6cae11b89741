// What is on the screen: coarse while the view moves, if the network is slow, and finer as soon as it rests.
// Nothing is computed while nothing changes.

const MOVING = 30; // milliseconds for one frame while the view moves
const RESTING = 25; // and for each part of a finer one, so that the page stays responsive
const PAUSE = 120; // milliseconds without a movement, after which finer frames begin
const TILES = [64, 8]; // pixels on a side of what is painted at once: at most, and at least if the network is slow
const COARSEST = 32; // screen pixels on a side of one that is computed

class Screen {
  constructor(canvas, painter) {
    this.canvas = canvas;
    this.painter = painter;
    this.cost = null; // milliseconds per computed pixel, as measured
    this.current = null; // the target that is shown, `scale` times as coarse as the screen
    this.tiles = []; // what is still to be painted of it
    this.frame = this.timer = 0;
  }

  // Whether all of the view is there at full resolution.
  get done() {
    return !this.next && !this.frame && this.scale === 1 && !this.tiles.length;
  }

  // Ask for a frame of this view; the last one asked for is drawn.
  request(view, options) {
    this.next = { view: { ...view }, options: { ...options } };
    clearTimeout(this.timer);
    this.schedule();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.next) this.move();
      else this.refine();
    });
  }

  // A whole frame now, as fine as there is time for.
  move() {
    const { view, options } = this.next;
    [this.next, this.view] = [null, view];
    this.painter.look(view, options);
    if (this.cost === null) this.probe();
    const all = this.canvas.width * this.canvas.height;
    let scale = 1;
    while (scale < COARSEST && (all / scale ** 2) * this.cost > MOVING) scale *= 2;
    this.begin(scale);
    this.paint([[0, 0, this.current.width, this.current.height]]);
    this.tiles = [];
    this.present();
    if (scale > 1) this.timer = setTimeout(() => this.schedule(), PAUSE);
  }

  // The next tiles of the finer frame.
  refine() {
    if (!this.tiles.length) this.begin(Math.max(1, this.scale / 4));
    const [, , width, height] = this.tiles[0];
    this.paint(this.tiles.splice(0, Math.max(1, Math.floor(RESTING / (width * height * this.cost)))));
    this.present();
    if (this.tiles.length || this.scale > 1) this.schedule();
  }

  // A target for frames `scale` times as coarse as the screen, with the present frame in it until tiles replace that.
  begin(scale) {
    const [width, height] = [this.canvas.width, this.canvas.height].map((n) => Math.ceil(n / scale));
    const before = this.current;
    if (!before || before.width !== width || before.height !== height) {
      this.current = this.painter.target(width, height);
      if (before) {
        this.painter.show(before, this.current, width, height, this.scale / scale);
        this.painter.free(before);
      }
    }
    this.scale = scale;
    let side = TILES[0];
    while (side > TILES[1] && side ** 2 * this.cost > RESTING) side /= 2;
    this.tiles = tiled(width, height, side);
  }

  // Paint rectangles of the target, and measure how long a pixel takes.
  paint(rectangles) {
    const middle = [this.canvas.height / 2 / this.scale, this.canvas.width / 2 / this.scale];
    const began = performance.now();
    for (const rectangle of rectangles) {
      this.painter.paint(this.current, this.scale / this.view.zoom, middle, ...rectangle);
    }
    this.painter.finish(this.current);
    const area = rectangles.reduce((sum, [, , width, height]) => sum + width * height, 0);
    const cost = Math.max(1e-7, (performance.now() - began) / area);
    this.cost = this.cost === null ? cost : (this.cost + cost) / 2;
  }

  // Measure a few pixels in the middle, twice: the first time a driver may still be compiling.
  probe() {
    for (let i = 0; i < 2; i++) {
      this.cost = null;
      this.begin(COARSEST);
      const [x, y] = [this.current.width, this.current.height].map((n) => Math.max(0, Math.floor(n / 2) - 8));
      this.paint([[x, y, Math.min(16, this.current.width), Math.min(16, this.current.height)]]);
    }
  }

  present() {
    this.painter.show(this.current, null, this.canvas.width, this.canvas.height, this.scale);
  }
}

// The tiles of a frame, those in the middle first.
function tiled(width, height, side) {
  const tiles = [];
  for (let y = 0; y < height; y += side) {
    for (let x = 0; x < width; x += side) {
      tiles.push([x, y, Math.min(side, width - x), Math.min(side, height - y)]);
    }
  }
  const far = ([x, y, w, h]) => Math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2);
  return tiles.sort((p, q) => far(p) - far(q));
}
