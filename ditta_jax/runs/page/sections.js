// ------------------------------------------------------------------ the sections of the page

const { runs, films } = data;
const several = runs.length > 1;
/** Every video of any run, as the first run that has it tells of it. */
const videos = [...runs.flatMap((run) => run.videos)
  .reduce((all, video) => (all.has(video.name) ? all : all.set(video.name, video)), new Map()).values()];
const scoreNames = [...new Set(runs.flatMap((run) => Object.values(run.methods).flatMap((m) => Object.keys(m.scores))))];

/** Every method of every run; a frozen student that scores as the first run's is named once. */
const methods = runs.flatMap((run, r) => Object.entries(run.methods).map(([name, own]) => ({
  key: `${r}/${name}`, name, run, r, own, frozen: name === 'frozen' || name === 'iss',
}))).filter((method) => method.r === 0 || !method.frozen || !sameAsFirst(method));
methods.forEach((method, i) => {
  method.title = several && !(method.frozen && method.r === 0) ? `${method.run.name}: ${method.own.title}` : method.own.title;
  method.colour = method.frozen && method.r === 0 ? 'var(--m0)' : `var(--m${1 + ((i + 6) % 7)})`;
});
const frozenMethod = methods.find((method) => method.frozen);
const best = [...methods].reverse().find((method) => !method.frozen) || null;

function sameAsFirst(method) {
  const first = runs[0].methods[method.name];
  const student = (run) => run.settings['student.checkpoint'];
  return first && student(runs[0]) === student(method.run) && JSON.stringify(first.scores) === JSON.stringify(method.own.scores);
}

function section(title, ...children) {
  return el('section', {}, el('h2', {}, title), children);
}

const WORDS = new Set(['what', 'why', 'voted class', 'prompted as', 'default', 'this run', ...runs.map((run) => run.name)]);

function table(head, rows) {
  return el('div', { class: 'wide' }, el('table', {},
    el('thead', {}, el('tr', {}, head.map((title) => el('th', WORDS.has(title) ? { class: 'words' } : {}, title)))),
    el('tbody', {}, rows)));
}

const cell = (content, className) => el('td', className ? { class: className } : {}, content);

// ------------------------------------------------------------------ head, scores, failures

function headline() {
  const count = runs[0].videos.length;
  const where = `on ${count} video${count === 1 ? '' : 's'}`;
  if (!frozenMethod || !best || !scoreNames.length) return `${methods.map((m) => m.title).join(', ')} ${where}; no ground truth, so no scores.`;
  const parts = ['mIoU', scoreNames.filter((name) => name.startsWith('mVC')).pop()].filter(Boolean).map((name) => {
    const [a, b] = [frozenMethod.own.scores[name], best.own.scores[name]];
    return known(a) && known(b) && `${name} ${percent(a)} → ${percent(b)} (${signed(difference(a, b))})`;
  }).filter(Boolean);
  return `${best.title} against the frozen student ${where}: ${parts.join(', ')}.`;
}

function scoresSection() {
  if (!scoreNames.length) return null;
  const rows = methods.map((method) => el('tr', {},
    el('td', {}, swatch(method.colour), method.title, Object.keys(method.own.kept_frozen).length ? ' *' : ''),
    scoreNames.map((name) => cell(percent(method.own.scores[name]))),
    frozenMethod ? scoreNames.slice(0, 1).concat(scoreNames.slice(-1)).map((name) => {
      const gain = method === frozenMethod ? null : difference(frozenMethod.own.scores[name], method.own.scores[name]);
      return cell(gain === null ? '' : signed(gain), tone(gain));
    }) : null,
    cell(known(method.own.frames_per_second) ? method.own.frames_per_second.toFixed(1) : '–'),
    cell(seconds(method.own.preparation_seconds)),
  ));
  const gains = frozenMethod ? [`Δ ${scoreNames[0]}`, `Δ ${scoreNames[scoreNames.length - 1]}`] : [];
  const starred = methods.some((method) => Object.keys(method.own.kept_frozen).length);
  return section('Scores, %',
    table(['method', ...scoreNames, ...gains, 'frames / s', 'preparation'], rows),
    starred ? el('p', { class: 'quiet' }, '* some videos keep the frozen student’s result: see below.') : null);
}

function failuresSection() {
  const lines = [];
  for (const run of runs) {
    const where = several ? `${run.name}: ` : '';
    for (const [video, message] of Object.entries(run.failed)) lines.push([`${where}${video}`, 'failed, in no score', message]);
    for (const method of Object.values(run.methods)) {
      for (const [video, reason] of Object.entries(method.kept_frozen)) lines.push([`${where}${video}`, `${method.title}: frozen student’s result kept`, reason]);
    }
  }
  if (!lines.length) return null;
  return section('What failed or fell back', table(['video', 'what', 'why'],
    lines.map(([video, what, why]) => el('tr', {}, cell(video), cell(what, 'words'), cell(why, 'words')))));
}

// ------------------------------------------------------------------ videos

const gainOf = (video) => {
  if (!frozenMethod || !best) return null;
  const own = best.run.videos.find((v) => v.name === video.name) || { scores: {} };
  const name = frozenMethod.name;
  return difference((video.scores[name] || {}).mIoU, (own.scores[best.name] || {}).mIoU);
};

const orders = {
  'best first': (a, b) => (gainOf(b) ?? -9) - (gainOf(a) ?? -9),
  'worst first': (a, b) => (gainOf(a) ?? 9) - (gainOf(b) ?? 9),
  'by name': (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
};

let current = null;
let player = null;

function videosSection() {
  const list = el('div', { class: 'list' });
  const stage = el('div', {});
  const order = { now: gainOf(videos[0] || { scores: {} }) === null ? 'by name' : 'best first' };
  const buttons = Object.keys(orders).map((name) => el('button', {
    type: 'button', 'aria-pressed': String(name === order.now), onclick: () => {
      order.now = name;
      for (const b of buttons) b.setAttribute('aria-pressed', String(b.textContent === name));
      fill();
    },
  }, name));
  let sorted = [];
  function fill() {
    sorted = [...videos].sort(orders[order.now]);
    list.replaceChildren(...sorted.map((video) => {
      const gain = gainOf(video);
      return el('button', {
        type: 'button', 'aria-current': String(video.name === current), onclick: () => show(video.name),
      }, el('span', { class: 'name' }, video.name), el('span', { class: `gain ${tone(gain)}` }, gain === null ? '' : signed(gain)),
      el('small', {}, `${video.scored} frames${films[video.name] ? '' : ', no pictures in this page'}`));
    }));
  }
  function show(name) {
    if (player) player.stop();
    player = null;
    current = name;
    for (const [i, button] of [...list.children].entries()) {
      button.setAttribute('aria-current', String(sorted[i].name === name));
      if (sorted[i].name === name) {
        list.scrollTop = Math.min(list.scrollTop, button.offsetTop - list.offsetTop);
        if (button.offsetTop - list.offsetTop + button.offsetHeight > list.scrollTop + list.clientHeight) {
          list.scrollTop = button.offsetTop - list.offsetTop + button.offsetHeight - list.clientHeight;
        }
      }
    }
    stage.replaceChildren(...videoParts(name));
  }
  fill();
  document.addEventListener('keydown', (event) => {
    const place = sorted.findIndex((video) => video.name === current);
    if (event.altKey || event.ctrlKey || event.metaKey || /^(SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const inSlider = event.target.type === 'range';
    const inButton = event.target.tagName === 'BUTTON' || event.target.tagName === 'SUMMARY';
    const actions = {
      ArrowDown: () => !inSlider && sorted[place + 1] && show(sorted[place + 1].name),
      ArrowUp: () => !inSlider && sorted[place - 1] && show(sorted[place - 1].name),
      ArrowRight: () => !inSlider && player && player.step(1),
      ArrowLeft: () => !inSlider && player && player.step(-1),
      Home: () => !inSlider && player && player.go(0),
      End: () => !inSlider && player && player.go(player.film.pictures.length - 1),
      ' ': () => !inButton && player && player.toggle(),
      t: () => changeTheme(),
    };
    const action = actions[event.key];
    if (!action || ((event.key === ' ') && inButton) || (inSlider && event.key !== ' ' && event.key !== 't')) return;
    event.preventDefault();
    action();
  });
  if (sorted.length) show(sorted[0].name);
  return section(best && frozenMethod && scoreNames.length ? `Videos, and what ${best.title} gains in mIoU, points` : 'Videos',
    sorted.length > 1 ? el('div', { class: 'split' }, el('div', {}, el('div', { class: 'bar' }, buttons), list), stage) : stage);
}

/** Player, curves and details of one video. */
function videoParts(name) {
  const film = films[name];
  const video = videos.find((v) => v.name === name);
  const parts = [el('h3', {}, `${name} · ${video.frames} frames of ${video.size[1]} × ${video.size[0]}, ${video.warmup} to adapt on`)];
  const charts = [];
  if (film) {
    const pick = (frame) => player && player.nearest(frame);
    for (const [kind, title] of [['mIoU', 'mIoU of single frames, %'], ['flicker', film.pictures.some((p) => p.truth) ? 'flicker: pixels that change without cause, %' : 'flicker: pixels that change, %']]) {
      const series = methods.filter((m) => film.curves[kind] && m.key in film.curves[kind]).map((m) => ({
        title: m.title, colour: m.colour, first: film.curves[kind][m.key].first,
        values: film.curves[kind][m.key].values.map((v) => (known(v) ? 100 * v : null)),
      }));
      const chart = series.length ? curves({ title, series, onpick: pick, fromZero: kind === 'flicker' }) : null;
      if (chart) charts.push(chart);
    }
    if (film.pictures.length) {
      player = new Player(film, methods, (frame) => charts.forEach((chart) => chart.mark(frame)));
      parts.push(player.element);
    }
    if (charts.length) parts.push(el('div', { class: 'charts', style: 'margin-top:1rem' }, charts.map((c) => c.element)), legendOf(methods));
    const warm = warmUp(film);
    if (warm) parts.push(warm);
  } else parts.push(el('p', { class: 'quiet' }, 'No pictures of this video are kept in this page: it is one of many, or report.page was 0.'));
  const loss = losses(name);
  if (loss) parts.push(loss);
  return parts;
}

// ------------------------------------------------------------------ what the teacher taught

/** Colours of objects: neighbours in number are far apart in hue. */
function objectColour(id) {
  const hue = (id * 137.508) % 360;
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.55 - 0.42 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

function warmUp(film) {
  if (!film.warm_up.length) return null;
  const size = film.picture_size;
  const panels = { input: canvasPanel('frame', size), frozen: canvasPanel('frozen student', size), reliability: canvasPanel('its reliability (bright: sure)', size) };
  if (film.warm_up.some((frame) => frame.objects)) panels.objects = canvasPanel('teacher’s masks, ✕ its prompts', size);
  const buttons = film.warm_up.map((frame, i) => el('button', { type: 'button', onclick: () => draw(i) }, `frame ${frame.frame}`));
  async function draw(i) {
    buttons.forEach((b, n) => b.setAttribute('aria-pressed', String(n === i)));
    const frame = film.warm_up[i];
    const [input, frozen, reliability] = await Promise.all([frameOf(frame.input), mapOf(frame.frozen), frameOf(frame.reliability)]);
    put(panels.input, input);
    put(panels.frozen, tinted(input, inClasses(frozen, film.palette)));
    put(panels.reliability, reliability);
    if (!frame.objects) return;
    const ids = await mapOf(frame.objects);
    put(panels.objects, tinted(input, (p) => (ids[p] ? objectColour(ids[p]) : null), 0.65, true));
    const context = panels.objects.canvas.getContext('2d');
    for (const { click, id } of film.objects) {
      if (!click || click.frame !== frame.frame) continue;
      const [x, y] = [(click.x * size[1]) / film.size[1], (click.y * size[0]) / film.size[0]];
      for (const [width, colour] of [[4, 'black'], [2, `rgb(${objectColour(id)})`]]) {
        context.lineWidth = width;
        context.strokeStyle = width === 4 ? 'white' : colour;
        context.beginPath();
        context.moveTo(x - 4, y - 4); context.lineTo(x + 4, y + 4);
        context.moveTo(x + 4, y - 4); context.lineTo(x - 4, y + 4);
        context.stroke();
      }
    }
  }
  draw(0);
  const rows = film.objects.map((object) => el('tr', {},
    el('td', {}, swatch(`rgb(${objectColour(object.id)})`), String(object.id)),
    cell(known(object.class_id) ? el('span', {}, swatch(`rgb(${film.palette[object.class_id]})`), film.classes[object.class_id]) : 'none', 'words'),
    cell(object.click && known(object.click.class_id) ? film.classes[object.click.class_id] : '–', 'words'),
    cell(object.click ? String(object.click.frame) : '–'),
    cell(object.click && known(object.click.reliability) ? object.click.reliability.toFixed(3) : '–')));
  return el('div', { style: 'margin-top:1.2rem' },
    el('h3', {}, 'What it learnt from: the first frames, and the teacher’s masks on them'),
    el('div', { class: 'bar' }, buttons),
    inRows(panels, size),
    rows.length ? el('details', { style: 'margin-top:.6rem' }, el('summary', {}, `${rows.length} objects: class by vote, and where they came from`),
      table(['object', 'voted class', 'prompted as', 'on frame', 'reliability'], rows)) : el('p', { class: 'quiet' }, film.warm_up[0].objects ? 'The teacher found no object.' : 'No teacher took part.'));
}

function losses(name) {
  const charts = [];
  const terms = [...new Set(runs.flatMap((run) => Object.values(run.losses[name] || {}).flatMap((own) => Object.keys(own))))];
  const named = [];
  for (const term of terms) {
    const series = runs.flatMap((run, r) => Object.entries(run.losses[name] || {}).map(([method, own]) => {
      const found = methods.find((m) => m.r === r && !m.frozen && (method === '' || m.name === method));
      return { title: found ? found.title : run.name, colour: found ? found.colour : 'var(--m1)', first: 1, values: own[term] || [] };
    })).filter((s) => s.values.some(known));
    named.push(...series);
    const chart = series.length ? curves({ title: term.replace('_', ' '), series, fromZero: true }) : null;
    if (chart) charts.push(chart.element);
  }
  if (!charts.length) return null;
  const legend = [...new Map(named.map((s) => [s.title, s])).values()];
  return el('div', { style: 'margin-top:1.2rem' }, el('h3', {}, 'Losses, by step'), el('div', { class: 'charts small' }, charts), legend.length > 1 ? legendOf(legend) : null);
}

// ------------------------------------------------------------------ classes, time, settings

function classesSection() {
  if (!frozenMethod) return null;
  const shown = methods.filter((m) => Object.keys(m.own.class_iou).length);
  const names = Object.keys(frozenMethod.own.class_iou);
  if (!names.length || shown.length < 2) return null;
  const change = (name) => (best ? difference(frozenMethod.own.class_iou[name], best.own.class_iou[name]) : null);
  names.sort((a, b) => (change(b) ?? 0) - (change(a) ?? 0));
  const rows = names.map((name) => el('tr', {}, cell(name), shown.map((m) => cell(percent(m.own.class_iou[name]))),
    cell(signed(change(name)), tone(change(name))),
    el('td', {}, shown.map((m) => el('div', { class: 'two' }, el('span', { style: `width:${100 * (m.own.class_iou[name] || 0)}%;background:${m.colour}` }))))));
  return section('Classes, IoU %', table(['class', ...shown.map((m) => m.title), best ? `Δ ${best.title}` : '', ''], rows));
}

const STAGES = { A: ['A student', 'var(--m0)'], B: ['B vote on masks', 'var(--m2)'], teacher: ['teacher', 'var(--m4)'], C: ['C adaptation', 'var(--m1)'], D: ['D the rest', 'var(--m3)'] };

function timesSection() {
  const blocks = runs.map((run) => {
    const times = run.videos.map((video) => {
      const own = video.seconds || {};
      const teacher = (video.details || {}).teacher_seconds;
      return { name: video.name, parts: [['A', own.A], ['teacher', teacher], ['B', own.B], ['C', own.C], ['D', own.D]].filter(([, v]) => known(v) && v > 0) };
    });
    const sum = (parts) => parts.reduce((total, [, v]) => total + v, 0);
    const longest = Math.max(...times.map((t) => sum(t.parts)), 1e-9);
    const rows = times.map((t) => el('tr', {}, cell(t.name), el('td', { style: 'width:100%' }, el('div', {
      class: 'track', role: 'img', 'aria-label': t.parts.map(([k, v]) => `${STAGES[k][0]} ${seconds(v)}`).join(', '),
    }, t.parts.map(([k, v]) => el('span', { title: `${STAGES[k][0]}: ${seconds(v)}`, style: `width:${(100 * v) / longest}%;background:${STAGES[k][1]}` })))), cell(seconds(sum(t.parts)))));
    return [several ? el('h3', {}, run.name) : null, table(['video', '', 'seconds'], rows)];
  });
  return section('Time', blocks.flat(), el('div', { class: 'legend' }, Object.values(STAGES).map(([title, colour]) => el('span', {}, swatch(colour), title))));
}

function settingsSection() {
  const show = (value) => (value === null || value === undefined ? '–' : typeof value === 'string' ? value || '(empty)' : JSON.stringify(value));
  const head = several ? ['setting', ...runs.map((run) => run.name)] : ['setting', 'default', 'this run'];
  const rows = Object.entries(data.settings).map(([key, values]) => el('tr', {}, cell(key), values.map((v) => cell(show(v), 'words'))));
  const about = runs.map((run) => {
    const e = run.environment;
    const packages = Object.entries(e.packages || {}).map(([name, version]) => `${name} ${version}`).join(', ');
    return el('p', { class: 'quiet' }, `${several ? `${run.name}: ` : ''}${[e.devices, e.cores && `${e.cores} cores`, e.platform, e.python && `Python ${e.python}`, packages, e.commit && `commit ${e.commit.slice(0, 12)}`].filter(Boolean).join(' · ')}`);
  });
  return section(several ? 'Settings that differ' : 'Settings that are not the default', rows.length ? table(head, rows) : el('p', {}, 'None.'), about);
}

function changeTheme() {
  const dark = document.documentElement.dataset.theme === 'dark'
    || (!document.documentElement.dataset.theme && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
}

document.getElementById('name').textContent = runs.map((run) => run.name).join(' · ');
document.getElementById('headline').textContent = headline();
document.getElementById('theme').addEventListener('click', changeTheme);
document.getElementById('sections').append(...[
  scoresSection(), failuresSection(), videosSection(), classesSection(), timesSection(), timelineSection(), settingsSection(),
].filter(Boolean));
// For tests: what is shown, and when it is drawn.
window.page = { get player() { return player; }, get video() { return current; } };
