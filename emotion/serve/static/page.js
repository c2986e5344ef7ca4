// The page: frames of a camera, a video or a picture go to POST /detect one at a time, the newest when the last is answered;
// a source of the server's comes as events. What is found is drawn, listed, plotted, spoken and kept for the CSV.

const $ = (id) => document.getElementById(id);
const COLOURS = { Neutral: "#c8c8c8", Happy: "#fadc50", Sad: "#3c96f0", Surprise: "#ffa03c", Fear: "#be5adc", Disgust: "#5abe50", Anger: "#eb4646", Contempt: "#3cbeb4" };
const SPAN_S = 60, LONGEST_SIDE = 960, ROWS = 200000, SPOKEN_MS = 3000;
const picture = $("picture"), pen = picture.getContext("2d"), video = $("video");
const grab = document.createElement("canvas");

let choices = null, names = [], run = null, history = [], rows = [], rate = [], said = { text: "", at: 0 };

const colourOf = (name) => COLOURS[name] || Object.values(COLOURS)[Math.max(0, names.indexOf(name)) % 8];
const state = (text) => { $("state").textContent = text; };
const per = (score) => `${Math.round(100 * score)}%`;

async function ask(path, options) {
  const answer = await fetch(path, options);
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw Object.assign(new Error(told.error || answer.statusText), { status: answer.status });
  return told;
}

function query(more) {
  const values = { system: $("system").value, model: $("model").value, conf: $("conf").value, ...more };
  return new URLSearchParams(Object.entries(values).filter(([, value]) => value !== ""));
}

// ---- sources -------------------------------------------------------------------------------------------------------

function begin(kind, text) {
  stop();
  run = { kind, session: crypto.getRandomValues(new Uint32Array(2)).join("-"), start: performance.now(), alive: true };
  history = []; rows = []; rate = [];
  $("faces").replaceChildren(); $("none").hidden = false; $("none").textContent = "No face yet.";
  choosable(kind !== "server");
  $("drop").hidden = true; picture.hidden = false; $("stop").disabled = false; $("snapshot").disabled = $("csv").disabled = true;
  state(text);
  return run;
}

function stop() {
  if (!run) return;
  run.alive = false;
  run.stream?.getTracks().forEach((track) => track.stop());
  run.events?.close();
  if (run.image) run.image.src = "";
  if (run.url) URL.revokeObjectURL(run.url);
  video.pause(); video.removeAttribute("src"); video.srcObject = null;
  $("stop").disabled = true; $("rate").textContent = ""; $("server").value = "";
  choosable(true);
  run = null;
  state("Stopped.");
}

async function startCamera() {
  const mine = begin("camera", "Asking for the camera…");
  try {
    if (!navigator.mediaDevices) throw new Error("browsers give a camera to https and localhost only");
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 960 } }, audio: false });
    if (!mine.alive) { stream.getTracks().forEach((track) => track.stop()); return; }
    mine.stream = video.srcObject = stream;
    await video.play();
    state("Camera on.");
    follow(mine);
  } catch (error) { fail(mine, `No camera: ${error.message}`); }
}

async function openFile(file) {
  if (!file) return;
  const mine = begin(file.type.startsWith("video/") ? "video" : "picture", `Looking at ${file.name}…`);
  mine.name = file.name; mine.file = file;
  try {
    if (file.size > choices.megabytes * 1e6 && mine.kind === "picture") throw new Error(`more than ${choices.megabytes} MB`);
    mine.url = URL.createObjectURL(file);
    if (mine.kind === "picture") {
      const found = await ask(`detect?${query()}`, { method: "POST", headers: { "Content-Type": file.type || "application/octet-stream" }, body: file });
      const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
      if (!mine.alive) return;
      show(bitmap, found, 0);
      state(`${mine.name}: ${found.faces.length} ${found.faces.length === 1 ? "face" : "faces"}.`);
      return;
    }
    video.src = mine.url;
    video.onerror = () => fail(mine, unplayable(file));
    video.onended = () => { if (mine.alive) { mine.alive = false; $("stop").disabled = true; state(`${mine.name}: ended.`); } };
    await video.play();
    state(mine.name);
    follow(mine);
  } catch (error) { fail(mine, mine.kind === "video" ? unplayable(file) : `${file.name}: ${error.message}`); }
}

const unplayable = (file) => `${file.name}: this browser cannot play it; most play MP4 with H.264, and WebM. emo detect reads more.`;

// A picture is looked at again when something else is chosen; in what moves, the next frame is.
function again() { if (run?.kind === "picture") openFile(run.file); }

// A source of the server's is looked at as the server was started.
function choosable(yes) { for (const name of ["system", "model", "conf"]) $(name).disabled = !yes; }

function watchServer(number) {
  if (number === "") return;
  const mine = begin("server", `Opening ${choices.sources[number]}…`);
  $("server").value = number;
  // The pictures are drawn by the server; the events say what is in them.
  const image = mine.image = new Image();
  image.alt = ""; image.src = `stream.mjpg?source=${number}`;
  mine.events = new EventSource(`events?source=${number}`);
  mine.events.onmessage = (event) => { if (mine.alive) { state(choices.sources[number]); show(image, JSON.parse(event.data), null, true); } };
  mine.events.addEventListener("end", () => { if (mine.alive) { mine.events.close(); mine.alive = false; choosable(true); $("stop").disabled = true; state("The source has ended."); } });
  mine.events.onerror = async () => {
    if (!mine.alive) return;
    mine.events.close();
    fail(mine, (await whyNot(`events?source=${number}`)) || `${choices.sources[number]}: the connection was lost.`);
  };
}

// An EventSource does not say why it ended.
async function whyNot(path) {
  const enough = new AbortController();
  try {
    const answer = await fetch(path, { signal: enough.signal });
    return answer.ok ? "" : (await answer.json()).error;
  } catch { return "The server does not answer."; } finally { enough.abort(); }
}

function fail(mine, text) {
  if (run !== mine) return;
  stop();
  if (!rows.length) { $("drop").hidden = false; picture.hidden = true; }
  state(text);
}

// One frame is on its way at a time; what the source shows meanwhile is passed over.
async function follow(mine) {
  while (mine.alive) {
    if (video.readyState < 2 || !video.videoWidth) { await new Promise((done) => setTimeout(done, 30)); continue; }
    const shrink = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
    grab.width = Math.round(video.videoWidth * shrink); grab.height = Math.round(video.videoHeight * shrink);
    grab.getContext("2d").drawImage(video, 0, 0, grab.width, grab.height);
    const time = mine.kind === "video" ? video.currentTime : (performance.now() - mine.start) / 1000;
    try {
      const jpeg = await new Promise((done) => grab.toBlob(done, "image/jpeg", 0.9));
      const found = await ask(`detect?${query({ session: mine.session, time_s: time.toFixed(3) })}`, { method: "POST", headers: { "Content-Type": "image/jpeg" }, body: jpeg });
      if (!mine.alive) return;
      show(grab, found, time);
    } catch (error) {
      if (![409, 429, 503].includes(error.status)) { fail(mine, error.message); return; }
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

// ---- what is found -------------------------------------------------------------------------------------------------

function show(image, found, time, drawn = false) {
  const [width, height] = found.size_wh;
  if (picture.width !== width || picture.height !== height) { picture.width = width; picture.height = height; }
  if (!drawn || (image.complete !== false && image.naturalWidth) || image.naturalWidth) pen.drawImage(image, 0, 0, width, height);
  if (found.names.join() !== names.join()) { names = found.names; history = []; rows = []; }
  if (!drawn) found.faces.slice().reverse().forEach((face) => box(face, width, height));
  time ??= found.time_s ?? 0;
  remember(found, time);
  list(found.faces); line(); speak(found.faces);
  $("snapshot").disabled = $("csv").disabled = false;
  const now = performance.now();
  rate = [...rate.filter((at) => now - at < 2000), now];
  if (run && run.kind !== "picture" && rate.length > 1) $("rate").textContent = `${((rate.length - 1) / ((now - rate[0]) / 1000)).toFixed(1)} frames/s`;
}

function words(face) {
  const best = `${face.emotion} ${per(face.scores[face.class_id])}`;
  if (!face.uncertain) return best;
  const second = face.scores.map((score, id) => [score, id]).filter(([, id]) => id !== face.class_id).sort((a, b) => b[0] - a[0])[0];
  return second ? `${best} or ${names[second[1]]} ${per(second[0])}` : best;
}

function box(face, width, height) {
  const [x1, y1, x2, y2] = face.xyxy_px, colour = face.uncertain ? "#969696" : colourOf(face.emotion);
  const lines = ((face.track ? `#${face.track} ` : "") + words(face)).split(/ (?=or )/), longest = Math.max(...lines.map((text) => text.length));
  // No label is wider than two faces, so that neighbours' can be read, nor smaller than 10 pixels of the screen.
  const fits = 2 * (x2 - x1) / (0.6 * longest), least = 10 * width / (picture.clientWidth || width);
  const size = Math.max(least, Math.min(Math.max(12, Math.min(width, height) / 28), fits));
  pen.lineWidth = Math.max(2, size / 7); pen.strokeStyle = colour; pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
  pen.font = `600 ${size}px system-ui, sans-serif`; pen.textBaseline = "top";
  const wide = Math.max(...lines.map((text) => pen.measureText(text).width)) + size * 0.6, high = size * (1.2 * lines.length + 0.15);
  const left = Math.max(0, Math.min(x1, width - wide)), top = y1 - high >= 0 ? y1 - high : Math.min(y1, height - high);
  pen.fillStyle = colour; pen.fillRect(left, top, wide, high);
  pen.fillStyle = "#000"; lines.forEach((text, index) => pen.fillText(text, left + size * 0.3, top + size * (0.2 + 1.2 * index)));
}

function list(faces) {
  $("none").hidden = faces.length > 0;
  if (!faces.length) $("none").textContent = "No face.";
  const items = [...$("faces").children];
  items.slice(faces.length).forEach((item) => item.remove());
  faces.forEach((face, index) => {
    let item = items[index];
    if (!item || item.childElementCount !== names.length + 1) {
      const fresh = document.createElement("li");
      fresh.append(document.createElement("h3"), ...names.map((name) => {
        const row = document.createElement("div"), label = document.createElement("span"), meter = document.createElement("meter"), value = document.createElement("span");
        row.className = "row"; label.textContent = name; meter.setAttribute("aria-label", name); row.append(label, meter, value);
        return row;
      }));
      if (item) item.replaceWith(fresh); else $("faces").append(fresh);
      item = fresh;
    }
    item.firstChild.textContent = `${face.track ? `#${face.track} ` : ""}${words(face)}`;
    face.scores.forEach((score, id) => {
      const [, meter, value] = item.children[id + 1].children;
      meter.value = score; value.textContent = per(score);
    });
  });
}

function speak(faces) {
  const text = faces.length ? faces.slice(0, 4).map((face) => `${face.track ? `face ${face.track} ` : ""}${face.emotion}`).join(", ") : "no face", now = performance.now();
  picture.setAttribute("aria-label", `${faces.length} ${faces.length === 1 ? "face" : "faces"}: ${text}`);
  if (text !== said.text && now - said.at > SPOKEN_MS) { said = { text, at: now }; $("spoken").textContent = text; }
}

function remember(found, time) {
  const mean = found.faces.length ? names.map((_, id) => found.faces.reduce((sum, face) => sum + face.scores[id], 0) / found.faces.length) : null;
  history.push([time, mean]);
  history = history.filter(([at]) => at <= time && time - at <= SPAN_S);
  for (const face of found.faces) rows.push([time.toFixed(3), ...face.xyxy_px, face.face, face.emotion, face.scores[face.class_id], face.uncertain ? 1 : 0, ...face.scores, face.track ?? ""]);
  if (!found.faces.length) rows.push([time.toFixed(3), ...Array(8 + names.length).fill(""), ""]);
  if (rows.length > ROWS) rows.splice(0, rows.length - ROWS);
}

function line() {
  const canvas = $("line"), scale = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
  if (canvas.width !== Math.round(wide * scale)) { canvas.width = Math.round(wide * scale); canvas.height = Math.round(high * scale); }
  const ink = canvas.getContext("2d"), end = history.at(-1)?.[0] ?? 0, begin = Math.max(0, end - SPAN_S), span = Math.max(5, end - begin);
  const x = (time) => 42 + (wide - 48) * (time - begin) / span, y = (share) => 6 + (high - 26) * (1 - share);
  const style = getComputedStyle(document.body);
  ink.setTransform(scale, 0, 0, scale, 0, 0); ink.clearRect(0, 0, wide, high);
  ink.font = "12px system-ui, sans-serif"; ink.fillStyle = style.getPropertyValue("--soft"); ink.strokeStyle = style.getPropertyValue("--line"); ink.lineWidth = 1;
  ink.textAlign = "right"; ink.textBaseline = "middle";
  for (const share of [0, 0.5, 1]) { ink.beginPath(); ink.moveTo(42, y(share)); ink.lineTo(wide - 6, y(share)); ink.stroke(); ink.fillText(per(share), 38, y(share)); }
  ink.textAlign = "center"; ink.textBaseline = "top";
  const step = span > 30 ? 10 : span > 10 ? 5 : 1;
  for (let time = Math.ceil(begin / step) * step; time <= begin + span; time += step) ink.fillText(`${time} s`, Math.min(x(time), wide - 16), high - 16);
  names.forEach((name, id) => {
    ink.strokeStyle = colourOf(name); ink.lineWidth = 2.5; ink.beginPath();
    let down = false;
    for (const [time, mean] of history) {
      if (!mean) { down = false; continue; }
      if (down) ink.lineTo(x(time), y(mean[id])); else ink.moveTo(x(time), y(mean[id]));
      down = true;
    }
    ink.stroke();
  });
  if ($("key").childElementCount !== names.length) $("key").replaceChildren(...names.map((name) => {
    const item = document.createElement("li"), mark = document.createElement("i");
    mark.style.background = colourOf(name); item.append(mark, name);
    return item;
  }));
}

// ---- what is saved -------------------------------------------------------------------------------------------------

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob); link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const field = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);

function saveCsv() {
  const head = ["time_s", "x1", "y1", "x2", "y2", "face", "emotion", "score", "uncertain", ...names, "track"];
  save(new Blob([[head, ...rows].map((row) => row.map(field).join(",")).join("\n") + "\n"], { type: "text/csv" }), "emotions.csv");
}

// ---- beginning -----------------------------------------------------------------------------------------------------

function fill(select, values, chosen) {
  select.replaceChildren(...values.map((value) => Object.assign(document.createElement("option"), { value, textContent: value || "default" })));
  select.value = chosen;
}

function listModels() { fill($("model"), ["", ...choices.models[$("system").value]], ""); }

$("camera").onclick = startCamera;
$("open").onclick = () => $("file").click();
$("file").onchange = (event) => { openFile(event.target.files[0]); event.target.value = ""; };
$("server").onchange = (event) => watchServer(event.target.value);
$("stop").onclick = stop;
$("system").onchange = () => { listModels(); history = []; again(); };
$("model").onchange = $("conf").onchange = again;
$("conf").oninput = (event) => { $("conf-value").textContent = Number(event.target.value).toFixed(2); };
$("snapshot").onclick = () => picture.toBlob((blob) => save(blob, "emo.png"));
$("csv").onclick = saveCsv;
for (const kind of ["dragover", "dragleave", "drop"]) $("stage").addEventListener(kind, (event) => {
  event.preventDefault();
  $("stage").classList.toggle("over", kind === "dragover");
  if (kind === "drop") openFile(event.dataTransfer.files[0]);
});
addEventListener("resize", line);

try {
  choices = await ask("choices");
  names = choices.names;
  fill($("system"), choices.systems, choices.system);
  listModels();
  $("conf").min = choices.conf; $("conf").value = choices.conf; $("conf-value").textContent = Number(choices.conf).toFixed(2);
  choices.sources.forEach((name, number) => $("server").append(Object.assign(document.createElement("option"), { value: number, textContent: name })));
  $("server-label").hidden = !choices.sources.length;
  line();
  const wanted = new URLSearchParams(location.search).get("source");
  if (wanted !== null && choices.sources[wanted] !== undefined) watchServer(wanted);
} catch (error) { state(error.message); }
