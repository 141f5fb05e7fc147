// ------------------------------------------------------------------ elements, numbers, curves

const data = JSON.parse(document.getElementById('data').textContent);

/** An element with attributes and children; text is text, never markup. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const known = (value) => value !== null && value !== undefined;
const percent = (value) => (known(value) ? (100 * value).toFixed(2) : '–');
const signed = (value) => (known(value) ? `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(2)}` : '–');
const tone = (value) => (!known(value) || Math.abs(value) < 5e-5 ? '' : value > 0 ? 'good' : 'bad');
const difference = (a, b) => (known(a) && known(b) ? b - a : null);
const swatch = (colour) => el('span', { class: 'swatch', style: `background:${colour}` });

function seconds(value) {
  if (!known(value)) return '–';
  if (value < 60) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)} min ${String(Math.round(value % 60)).padStart(2, '0')} s`;
}

/** Round steps for an axis: about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((m) => m >= raw);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) found.push(v);
  return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/**
 * Curves over frames or steps.
 * series: [{ title, colour, first, values, dash }]; where: a frame marked by a dashed line.
 * onpick(x) makes the chart a control. Returns { element, mark(x) }.
 */
function curves({ title, series, unit = '', onpick = null, fromZero = false }) {
  const [width, height, left, right, top, bottom] = [460, 190, 44, 8, 8, 22];
  const values = series.flatMap((s) => s.values.filter(known));
  if (!values.length) return null;
  const low = fromZero ? 0 : Math.min(...values);
  let high = Math.max(...values);
  if (high === low) high = low + 1e-3;
  const start = Math.min(...series.map((s) => s.first));
  const end = Math.max(...series.map((s) => s.first + s.values.length - 1), start + 1);
  const x = (v) => left + ((v - start) / (end - start)) * (width - left - right);
  const y = (v) => top + (1 - (v - low) / (high - low)) * (height - top - bottom);
  const picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title, class: onpick ? 'pick' : '',
  });
  const rows = ticks(low, high, 4);
  for (const v of rows.found) {
    picture.append(svg('line', { class: 'grid', x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    const text = svg('text', { x: left - 5, y: y(v) + 4, 'text-anchor': 'end' });
    text.textContent = v.toFixed(rows.digits) + unit;
    picture.append(text);
  }
  for (const v of ticks(start, end, 6).found.filter(Number.isInteger)) {
    const text = svg('text', { x: x(v), y: height - 6, 'text-anchor': 'middle' });
    text.textContent = v;
    picture.append(text);
  }
  for (const s of series) {
    let d = '';
    let alone = ''; // a value between two gaps is a dot
    s.values.forEach((v, i) => {
      if (!known(v)) return;
      const place = `${x(s.first + i).toFixed(1)} ${y(v).toFixed(1)}`;
      if (known(s.values[i - 1])) d += `L${place}`;
      else if (known(s.values[i + 1])) d += `M${place}`;
      else alone += `M${place}h0.1`;
    });
    if (alone) picture.append(svg('path', { class: 'line dot', d: alone, style: `stroke:${s.colour}` }));
    picture.append(svg('path', {
      class: 'line', d, style: `stroke:${s.colour}`, 'stroke-dasharray': s.dash ? '5 3' : 'none',
    }));
  }
  const now = svg('line', { class: 'now', y1: top, y2: height - bottom, x1: -9, x2: -9, visibility: 'hidden' });
  picture.append(now);
  if (onpick) {
    const pick = (event) => {
      const box = picture.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * width;
      onpick(start + ((at - left) / (width - left - right)) * (end - start));
    };
    picture.addEventListener('pointerdown', pick);
    picture.addEventListener('pointermove', (event) => event.buttons === 1 && pick(event));
  }
  return {
    element: el('div', {}, el('h3', {}, title), picture),
    mark(v) {
      now.setAttribute('visibility', 'visible');
      now.setAttribute('x1', x(v));
      now.setAttribute('x2', x(v));
    },
  };
}

function legendOf(series) {
  return el('div', { class: 'legend' }, series.map((s) => el('span', {}, swatch(s.colour), s.title)));
}
