// ------------------------------------------------------------------ student and teacher, side by side

const WORK = { A: ['A student', 'var(--m0)'], C: ['C adaptation', 'var(--m1)'], D: ['D the rest', 'var(--m3)'], loading: ['teacher starts', 'var(--m7)'], teacher: ['teacher', 'var(--m4)'] };

/** The spans of one run of the command: {student, teacher}, each [{what, video, begin, end}]. */
function spansOf(videos, started) {
  const own = videos.filter((video) => video.timeline.started === started);
  // Runs of earlier versions do not say how long the teacher took to start.
  const ofTeacher = (what) => own.flatMap((video) => (video.timeline[what] || []).map(([begin, end]) => ({ what, video: video.name, begin, end })));
  return {
    student: own.flatMap((video) => video.timeline.student.filter(([what]) => WORK[what]).map(([what, begin, end]) => ({ what, video: video.name, begin, end }))),
    teacher: [...ofTeacher('loading'), ...ofTeacher('teacher')],
  };
}

/** Spans in as few rows as keep those of one row apart: several workers stand below each other. */
function rowsOf(spans) {
  const rows = [];
  for (const span of [...spans].sort((a, b) => a.begin - b.begin)) {
    const free = rows.find((row) => row[row.length - 1].end <= span.begin + 1e-3);
    if (free) free.push(span); else rows.push([span]);
  }
  return rows;
}

/** C of videos side by side is one span of all of them. */
function together(spans) {
  const found = new Map();
  for (const span of spans) {
    const key = `${span.what} ${span.begin} ${span.end}`;
    if (found.has(key)) found.get(key).video += `, ${span.video}`; else found.set(key, { ...span });
  }
  return [...found.values()];
}

function timelinePicture(videos, started) {
  const spans = spansOf(videos, started);
  const student = rowsOf(together(spans.student));
  const teacher = rowsOf(spans.teacher);
  const rows = [...student.map((row) => ['student', row]), ...teacher.map((row) => ['teacher', row])];
  const [width, left, height] = [matchMedia('(max-width: 760px)').matches ? 400 : 960, 62, 24];
  const end = Math.max(...rows.flatMap(([, row]) => row.map((span) => span.end)), 1e-3);
  const x = (v) => left + (v / end) * (width - left - 8);
  const picture = svg('svg', { viewBox: `0 0 ${width} ${rows.length * height + 24}`, role: 'img', class: 'timeline', 'aria-label': 'when student and teacher worked' });
  const say = (text, at) => { const element = svg('text', at); element.textContent = text; picture.append(element); };
  const axis = ticks(0, end, width / 120);
  for (const v of axis.found) {
    picture.append(svg('line', { class: 'grid', x1: x(v), x2: x(v), y1: 0, y2: rows.length * height }));
    say(`${v.toFixed(axis.digits)} s`, { x: x(v), y: rows.length * height + 16, 'text-anchor': 'middle' });
  }
  rows.forEach(([who, row], i) => {
    if (i === 0 || rows[i - 1][0] !== who) say(who, { x: left - 6, y: i * height + 16, 'text-anchor': 'end' });
    for (const span of row) {
      const title = svg('title');
      title.textContent = `${span.video}: ${WORK[span.what][0]}, ${seconds(span.end - span.begin)}`;
      picture.append(svg('rect', { x: x(span.begin), y: i * height + 3, width: Math.max(x(span.end) - x(span.begin), 0.5), height: height - 6, style: `fill:${WORK[span.what][1]}` }, title));
    }
  });
  return picture;
}

function timelineSection() {
  const blocks = runs.flatMap((run) => {
    const videos = run.videos.filter((video) => video.timeline && video.timeline.teacher.length);
    if (!videos.length) return [];
    const hidden = (run.overlap || {}).hidden;
    const said = known(hidden) && `Student ${seconds(run.overlap.student_seconds)}, teacher ${seconds(run.overlap.teacher_seconds)}, both at once ${seconds(run.overlap.both_seconds)}: ${Math.round(100 * hidden)} % of the shorter one is hidden.`;
    const starts = [...new Set(videos.map((video) => video.timeline.started))].sort((a, b) => a - b);
    return [several ? el('h3', {}, run.name) : null, said && el('p', {}, said),
      starts.map((started) => el('div', { class: 'wide' }, timelinePicture(run.videos.filter((video) => video.timeline), started))),
      starts.length > 1 && el('p', { class: 'quiet' }, 'One picture for each process, and each time that the command was started.')].filter(Boolean);
  });
  if (!blocks.length) return null;
  return section('Student and teacher, side by side', blocks.flat(), el('div', { class: 'legend' }, Object.values(WORK).map(([title, colour]) => el('span', {}, swatch(colour), title))));
}
