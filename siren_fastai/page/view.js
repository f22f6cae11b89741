// Where one looks: the centre in image pixels, and screen pixels per image pixel. All in double precision.

const DEEPEST = 1e12; // screen pixels per image pixel: beyond it the centre has no digits left
const SMALLEST = 0.25; // of the size that fits the window

class View {
  constructor(height, width) {
    Object.assign(this, { height, width, y: height / 2, x: width / 2, zoom: 1, outside: false });
  }

  // The zoom at which the whole image is in a window of this size, with a margin.
  fitting(height, width) {
    return 0.94 * Math.min(height / this.height, width / this.width);
  }

  fit(height, width) {
    Object.assign(this, { y: this.height / 2, x: this.width / 2, zoom: this.fitting(height, width) });
  }

  // Move the image by screen pixels.
  pan(down, right) {
    this.y -= down / this.zoom;
    this.x -= right / this.zoom;
    this.hold();
  }

  // Zoom about a point, `down` and `right` of the window's centre in screen pixels, which stays where it is.
  zoomAt(factor, down, right, window) {
    const zoom = Math.min(DEEPEST, Math.max(SMALLEST * this.fitting(...window), this.zoom * factor));
    this.y += down / this.zoom - down / zoom;
    this.x += right / this.zoom - right / zoom;
    this.zoom = zoom;
    this.hold();
  }

  // Keep the centre on the image, or not farther from it than a few of its sides.
  hold() {
    const slack = this.outside ? 4 : 0;
    this.y = Math.min(this.height * (1 + slack), Math.max(-this.height * slack, this.y));
    this.x = Math.min(this.width * (1 + slack), Math.max(-this.width * slack, this.x));
  }
}
