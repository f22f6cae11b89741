#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

uniform sampler2D units;     // of the first layer: weights by row and column, the sum at the view's centre, is it a wave
uniform sampler2D weights;   // of the other layers: four biases, then 4 x 4 weights by column, for each four units
uniform usampler2D labels;   // the kind of each cell
uniform ivec2 label_size;    // rows and columns; 0 without labels
uniform vec4 label_at;       // of the view's centre: cell and remainder by row, by column
uniform vec2 label_step;     // cells per image pixel
uniform int stride;          // texels between the weights of two kinds; 0 if they share them
uniform int quads[@depth@];  // groups of four units in each layer

uniform vec2 middle;         // the view's centre in the target's pixels, from below and from the left
uniform float pixel;         // image pixels in one of the target's
uniform vec2 image;          // height and width in image pixels
uniform vec4 image_at;       // the view's centre in image pixels: nearest integer and remainder by row, by column
uniform vec2 position_step;  // change of position per image pixel: by row, by column
uniform float gain;
uniform vec3 offset;
uniform bool blocks;         // every image pixel in the colour of its centre
uniform bool lines;          // the borders of image pixels
uniform bool outside;        // what the network gives beyond the image

out vec4 color;

vec4 a[@widest@], b[@widest@];

vec4 unit(int i) { return texelFetch(units, ivec2(i & 1023, i >> 10), 0); }
vec4 weight(int i) { return texelFetch(weights, ivec2(i & 1023, i >> 10), 0); }

@functions@

vec4 sums(vec4 t0, vec4 t1, vec4 t2, vec4 t3, vec2 away) {
  return vec4(t0.z, t1.z, t2.z, t3.z) + vec4(dot(t0.xy, away), dot(t1.xy, away), dot(t2.xy, away), dot(t3.xy, away));
}
vec4 encoding(vec4 t0, vec4 t1, vec4 t2, vec4 t3, vec2 away) {
  vec4 z = sums(t0, t1, t2, t3, away);
  return mix(z, wave(z, 0.0), vec4(t0.w, t1.w, t2.w, t3.w));
}
vec4 radial(vec4 t0, vec4 t1, vec4 t2, vec4 t3, vec2 away) {  // t: the centre's way to the view's, and sigma
  vec2 d0 = t0.xy + away, d1 = t1.xy + away, d2 = t2.xy + away, d3 = t3.xy + away;
  vec4 z = vec4(t0.z, t1.z, t2.z, t3.z) * vec4(dot(d0, d0), dot(d1, d1), dot(d2, d2), dot(d3, d3));
  return exp(-z * z);
}

vec3 network(vec2 away, int kind) {  // away: from the view's centre, in positions
  int at = kind * stride;@layers@
  return @result@;
}

int kind_at(vec2 away) {  // away: in image pixels
  if (label_size.x == 0) return 0;
  vec2 cell = floor(label_at.yw + away * label_step) + label_at.xz;
  ivec2 place = ivec2(clamp(cell, vec2(0.0), vec2(label_size - 1)));
  return int(texelFetch(labels, place.yx, 0).r);
}

void main() {
  vec2 away = vec2(middle.x - gl_FragCoord.y, gl_FragCoord.x - middle.y) * pixel;
  vec2 local = image_at.yw + away;
  vec2 index = floor(local) + image_at.xz;
  bool inside = all(greaterThanEqual(index, vec2(0.0))) && all(lessThan(index, image));
  if (!inside && !outside) {
    color = vec4(0.0);
    return;
  }
  if (blocks) away = floor(local) + 0.5 - image_at.yw;
  vec3 shown = clamp(gain * network(away * position_step, kind_at(away)) + offset, 0.0, 1.0);
  if (lines && pixel < 0.25) {
    vec2 cover = clamp(1.0 - abs(local - round(local)) / pixel, 0.0, 1.0);  // of the pixel by a line of its width
    float strength = 0.6 * clamp(0.5 / pixel - 2.0, 0.0, 1.0) * max(cover.x, cover.y);
    shown = mix(shown, vec3(dot(shown, vec3(0.3, 0.6, 0.1)) < 0.5), strength);
  }
  color = vec4(shown, 1.0);
}
