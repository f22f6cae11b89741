"use strict";

// The network on the graphics card: weights in textures, one fragment shader, drawn into textures of any size.

const ROW = 1024; // texels in a row of the textures of numbers
const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;
const COPY = `#version 300 es
precision highp float;
uniform sampler2D image;
uniform vec2 scale;
out vec4 color;
void main() { color = texture(image, gl_FragCoord.xy * scale); }`;

class Painter {
  constructor(gl, page, data) {
    this.gl = gl;
    this.page = page;
    this.units = data.units;
    this.texels = new Float32Array(4 * ROW * Math.ceil(data.units.length / 3 / ROW));
    this.main = linked(gl, page.shader);
    this.copy = linked(gl, COPY);
    const rows = Math.max(1, Math.ceil(data.weights.length / 4 / ROW));
    const padded = new data.weights.constructor(4 * ROW * rows);
    padded.set(data.weights);
    const [format, type] = page.half ? [gl.RGBA16F, gl.HALF_FLOAT] : [gl.RGBA32F, gl.FLOAT];
    this.textures = [
      numbers(gl, gl.RGBA32F, ROW, this.texels.length / 4 / ROW, gl.RGBA, gl.FLOAT, this.texels),
      numbers(gl, format, ROW, rows, gl.RGBA, type, padded),
      numbers(gl, gl.R8UI, page.label_size[1] || 1, page.label_size[0] || 1, gl.RED_INTEGER, gl.UNSIGNED_BYTE,
        data.labels.length ? data.labels : new Uint8Array(1)),
    ];
    const { program, at } = this.main;
    gl.useProgram(program);
    gl.uniform1i(at("units"), 0);
    gl.uniform1i(at("weights"), 1);
    gl.uniform1i(at("labels"), 2);
    gl.uniform2i(at("label_size"), page.label_size[0], page.label_size[1]);
    gl.uniform1i(at("stride"), page.stride);
    gl.uniform1iv(at("quads"), page.quads);
    gl.uniform2f(at("image"), page.height, page.width);
    gl.uniform2f(at("position_step"), page.step[0], page.step[1]);
    gl.uniform1f(at("gain"), page.gain);
    gl.uniform3fv(at("offset"), page.offset);
  }

  // Prepare for a view {y, x, zoom}: its centre in image pixels, and target pixels per image pixel.
  look(view, options) {
    const { gl, page, texels } = this, { program, at } = this.main;
    const [y, x] = [page.start[0] + page.step[0] * view.y, page.start[1] + page.step[1] * view.x];
    this.sums(y, x);
    gl.useProgram(program);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[0]);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ROW, texels.length / 4 / ROW, gl.RGBA, gl.FLOAT, texels);
    gl.uniform4f(at("image_at"), ...parts(view.y), ...parts(view.x));
    const cells = [y, x].map((p, i) => (p + 1) / 2 * page.label_size[i]);
    gl.uniform4f(at("label_at"), ...parts(cells[0]), ...parts(cells[1]));
    gl.uniform2f(at("label_step"), ...[0, 1].map((i) => page.step[i] / 2 * page.label_size[i]));
    for (const name of ["blocks", "lines", "outside"]) gl.uniform1i(at(name), options[name] ? 1 : 0);
  }

  // The first layer at a position, in double precision; sines less their full turns.
  sums(y, x) {
    const { units, texels, page } = this;
    for (let i = 0; i < units.length / 3; i++) {
      const [down, right, bias] = units.subarray(3 * i, 3 * i + 3);
      if (page.radial) {
        texels.set([y - down, x - right, bias, 0], 4 * i);
        continue;
      }
      const wave = i % (4 * page.quads[0]) >= page.plain, sum = bias + down * y + right * x;
      texels.set([down, right, wave ? sum - 2 * Math.PI * Math.round(sum / (2 * Math.PI)) : sum, wave ? 1 : 0], 4 * i);
    }
  }

  // Paint a rectangle of a target in which `pixel` image pixels are one of its own, and the view's centre is `middle`.
  paint(target, pixel, middle, x, y, width, height) {
    const { gl } = this, { program, at } = this.main;
    gl.useProgram(program);
    this.textures.forEach((texture, i) => {
      gl.activeTexture(gl.TEXTURE0 + i);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    });
    gl.uniform2f(at("middle"), middle[0], middle[1]);
    gl.uniform1f(at("pixel"), pixel);
    this.fill(target, target.width, target.height, x, y, width, height);
  }

  // Copy one target to another, or to the screen (null), `scale` times as large.
  show(source, target, width, height, scale) {
    const { gl } = this, { program, at } = this.copy, filter = scale === 1 ? gl.NEAREST : gl.LINEAR;
    gl.useProgram(program);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, source.texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
    gl.uniform2f(at("scale"), 1 / (scale * source.width), 1 / (scale * source.height));
    this.fill(target, width, height, 0, 0, width, height);
  }

  fill(target, width, height, ...rectangle) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target && target.framebuffer);
    gl.viewport(0, 0, width, height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(...rectangle);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  target(width, height) {
    const { gl } = this, texture = gl.createTexture(), framebuffer = gl.createFramebuffer();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return { texture, framebuffer, width, height };
  }

  free(target) {
    this.gl.deleteFramebuffer(target.framebuffer);
    this.gl.deleteTexture(target.texture);
  }

  // Wait until everything is drawn: what has been asked for takes time only now.
  finish(target) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  // The RGBA bytes of a view, row by row from the top.
  pixels(view, width, height, options = {}) {
    const { gl } = this, target = this.target(width, height), bytes = new Uint8Array(4 * width * height);
    this.look(view, options);
    this.paint(target, 1 / view.zoom, [height / 2, width / 2], 0, 0, width, height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    this.free(target);
    const rows = Array.from({ length: height }, (_, i) => bytes.subarray(4 * width * i, 4 * width * (i + 1)));
    const flipped = new Uint8Array(bytes.length);
    rows.reverse().forEach((row, i) => flipped.set(row, 4 * width * i));
    return flipped;
  }
}

// The nearest integer, and what is left: the second part keeps its precision as a 32-bit float.
function parts(number) {
  return [Math.round(number), number - Math.round(number)];
}

function numbers(gl, internal, width, height, format, type, values) {
  if (height > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new Error("The network is too large for this graphics card.");
  }
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, type, values);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  if (gl.getError() !== gl.NO_ERROR) throw new Error("This graphics card has no textures of decimal numbers.");
  return texture;
}

function linked(gl, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`The graphics driver could not compile the network: ${[gl.getProgramInfoLog(program), ...logs].join(" ")}`);
  }
  const places = {};
  return { program, at: (name) => (places[name] ??= gl.getUniformLocation(program, name)) };
}
