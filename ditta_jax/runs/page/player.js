// ------------------------------------------------------------------ pictures of a video's frames

const OPACITY = 0.6;
const IGNORED = 255;
const [REPAIRED, BROKEN, CHANGED] = [[38, 166, 91], [222, 60, 60], [240, 160, 40]];

const load = (kind, text) => new Promise((done, fail) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = () => fail(new Error(`a ${kind} of this page does not decode`));
  image.src = `data:image/${kind};base64,${text}`;
});

function pixelsOf(image) {
  const canvas = el('canvas', { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** A grey picture's values: class indices, object ids. */
async function mapOf(text) {
  const { data: rgba } = pixelsOf(await load('png', text));
  const values = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < values.length; i += 1) values[i] = rgba[4 * i];
  return values;
}

const frameOf = async (text) => pixelsOf(await load('jpeg', text));

/** The frame with each pixel tinted by colour(index of the pixel); null leaves it. */
function tinted(frame, colour, opacity = OPACITY, grey = false) {
  const out = new ImageData(frame.width, frame.height);
  for (let i = 0, p = 0; p < out.data.length; i += 1, p += 4) {
    const own = [frame.data[p], frame.data[p + 1], frame.data[p + 2]];
    if (grey) own.fill(0.55 * (0.3 * own[0] + 0.59 * own[1] + 0.11 * own[2]));
    const tint = colour(i);
    for (let c = 0; c < 3; c += 1) out.data[p + c] = tint ? (1 - opacity) * own[c] + opacity * tint[c] : own[c];
    out.data[p + 3] = 255;
  }
  return out;
}

const inClasses = (labels, palette) => (i) => (labels[i] === IGNORED ? null : palette[labels[i]]);

/** Green where only the method is right, red where only the frozen student is. */
function repairs(truth, frozen, method) {
  return (i) => {
    if (truth === null) return frozen[i] === method[i] ? null : CHANGED;
    if (truth[i] === IGNORED || frozen[i] === method[i]) return null;
    if (method[i] === truth[i]) return REPAIRED;
    return frozen[i] === truth[i] ? BROKEN : null;
  };
}

function canvasPanel(title, size) {
  const canvas = el('canvas', { width: size[1], height: size[0], role: 'img', 'aria-label': title });
  return { figure: el('figure', {}, el('figcaption', {}, title), canvas), canvas };
}

/** Panels beside each other; those of upright pictures need less width. */
const inRows = (panels, size) => el('div', { class: size[0] > size[1] ? 'panels tall' : 'panels' }, Object.values(panels).map((panel) => panel.figure));

const put = (panel, pixels) => panel.canvas.getContext('2d').putImageData(pixels, 0, 0);

/** Steps through the pictures of one film. onframe(index of the frame) is told of every step. */
class Player {
  constructor(film, methods, onframe) {
    this.film = film;
    this.methods = methods.filter((method) => film.pictures.some((p) => method.key in p.labels));
    this.frozen = this.methods.find((method) => method.frozen) || null;
    this.onframe = onframe;
    this.at = 0;
    this.decoded = new Map();
    this.timer = null;
    this.shown = Promise.resolve();
    this.build();
    this.go(0);
  }

  build() {
    const { film } = this;
    const truth = film.pictures.some((picture) => picture.truth);
    this.panels = { input: canvasPanel('frame', film.picture_size) };
    if (truth) this.panels.truth = canvasPanel('ground truth', film.picture_size);
    for (const method of this.methods) this.panels[method.key] = canvasPanel(method.title, film.picture_size);
    for (const method of this.methods.filter((m) => m !== this.frozen && this.frozen)) {
      this.panels[`difference ${method.key}`] = canvasPanel(
        truth ? `${method.title}: green repaired, red broken` : `${method.title}: where it differs`, film.picture_size,
      );
    }
    this.slider = el('input', {
      type: 'range', min: 0, max: film.pictures.length - 1, value: 0, 'aria-label': 'frame',
      oninput: () => this.go(Number(this.slider.value)),
    });
    this.button = el('button', { type: 'button', 'aria-label': 'play', onclick: () => this.toggle() }, '▶');
    this.place = el('span', { class: 'quiet', 'aria-live': 'off' });
    const step = (by, text, label) => el('button', { type: 'button', 'aria-label': label, onclick: () => this.step(by) }, text);
    this.legend = el('div', { class: 'legend' });
    this.element = el('div', { class: 'player' },
      el('div', { class: 'bar' }, this.button, step(-1, '‹', 'frame before'), step(1, '›', 'next frame'),
        el('div', { class: 'grow' }, this.slider), this.place),
      inRows(this.panels, film.picture_size),
      this.legend);
  }

  step(by) {
    const count = this.film.pictures.length;
    this.go((this.at + by + count) % count);
  }

  nearest(frame) {
    const away = this.film.pictures.map((picture) => Math.abs(picture.frame - frame));
    this.go(away.indexOf(Math.min(...away)));
  }

  toggle() {
    if (this.timer) this.stop();
    else {
      this.timer = setInterval(() => this.step(1), 140);
      this.button.textContent = '❚❚';
      this.button.setAttribute('aria-label', 'pause');
    }
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = '▶';
    this.button.setAttribute('aria-label', 'play');
  }

  go(at) {
    this.at = at;
    this.slider.value = at;
    const { frame } = this.film.pictures[at];
    this.slider.setAttribute('aria-valuetext', `frame ${frame}`);
    this.place.textContent = `frame ${frame} · ${at + 1} of ${this.film.pictures.length}`;
    this.onframe(frame);
    this.shown = this.decode(at).then((maps) => {
      if (this.at === at) this.draw(maps);
    });
  }

  async decode(at) {
    if (!this.decoded.has(at)) {
      const picture = this.film.pictures[at];
      this.decoded.set(at, Promise.all([
        frameOf(picture.input),
        picture.truth ? mapOf(picture.truth) : null,
        Promise.all(this.methods.map((m) => (m.key in picture.labels ? mapOf(picture.labels[m.key]) : null))),
      ]));
      if (this.decoded.size > 90) this.decoded.delete(this.decoded.keys().next().value);
    }
    const [input, truth, labels] = await this.decoded.get(at);
    return { input, truth, labels };
  }

  draw({ input, truth, labels }) {
    const { palette } = this.film;
    const seen = new Set();
    put(this.panels.input, input);
    if (truth) put(this.panels.truth, tinted(input, inClasses(truth, palette)));
    const frozen = this.frozen ? labels[this.methods.indexOf(this.frozen)] : null;
    this.methods.forEach((method, m) => {
      if (!labels[m]) return;
      put(this.panels[method.key], tinted(input, inClasses(labels[m], palette)));
      const panel = this.panels[`difference ${method.key}`];
      if (panel && frozen) put(panel, tinted(input, repairs(truth, frozen, labels[m]), 0.85, true));
    });
    for (const values of [truth, ...labels]) if (values) for (const value of values) seen.add(value);
    this.legend.replaceChildren(...[...seen].filter((c) => c !== IGNORED).sort((a, b) => a - b).map(
      (c) => el('span', {}, swatch(`rgb(${palette[c]})`), this.film.classes[c]),
    ));
  }
}
