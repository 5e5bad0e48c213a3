// The stage: a window's frames with its masks and ids, the scrubber, playing, and where the pointer is.
import { $, clock } from "/static/common.js";
import { colour, css, paint } from "/static/correct_masks.js";

const SIDE = 1440, AT_ONCE = 4, DRAG = 5;

export class Stage {
  /** on: frame(n), click(place, minus), drag(box). */
  constructor(on) {
    Object.assign(this, { on, canvas: $("#canvas"), n: 0, info: null, masks: null, selected: null, shown: true, playing: null, overlay: null, drawn: null });
    this.context = this.canvas.getContext("2d");
    $("#scrub").addEventListener("input", (event) => this.go(Number(event.target.value)));
    $("#play").addEventListener("click", () => this.play());
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.moved(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** Show a window. frame: where to begin. */
  open(info, masks, frame) {
    const other = this.info?.window !== info.window;
    Object.assign(this, { info, masks, overlay: null });
    if (other) {
      this.stop();
      this.pictures = new Map();
      this.asked = new Set();
      this.going = 0;
      [this.canvas.width, this.canvas.height] = fitting(info.width, info.height, SIDE);
      this.scale = this.canvas.width / info.width;
      $("#scrub").max = Math.max(0, info.frames.length - 1);
      $("#lost").hidden = true;
      this.canvas.hidden = false;
    }
    this.go(other ? frame : this.n);
  }

  get last() { return this.info ? this.info.frames.length - 1 : 0; }

  go(n) {
    if (!this.info || this.last < 0) return;
    this.n = Math.min(Math.max(0, n), this.last);
    $("#scrub").value = this.n;
    const [source, time] = [this.info.frames[this.n], this.info.times_s[this.n]];
    $("#where").textContent = `${this.n + 1}/${this.last + 1} · frame ${source} · ${clock(time)}`;
    $("#scrub").setAttribute("aria-valuetext", `frame ${source}`);
    this.fetch();
    this.draw();
    this.on.frame(this.n);
  }

  /** Ask for the frames that are not here, the nearest ahead first, a few at once. */
  fetch() {
    const order = [...Array(this.last + 1).keys()].map((k) => (this.n + k) % (this.last + 1));
    for (const n of order) {
      if (this.going >= AT_ONCE) return;
      if (this.asked.has(n)) continue;
      this.asked.add(n);
      this.going++;
      const [picture, window] = [new Image(), this.info.window];
      const over = (good) => {
        if (this.info.window !== window) return;
        this.going--;
        if (good) this.pictures.set(n, picture);
        else if (n === this.n) this.explain(picture.src);
        if (n === this.n) this.draw();
        this.fetch();
      };
      picture.onload = () => over(true);
      picture.onerror = () => over(false);
      picture.src = `/dataset/windows/${window}/frames/${n}?side=${SIDE}`;
    }
  }

  /** A picture did not come: say what the studio says of it. */
  async explain(address) {
    const said = await fetch(address).then((answer) => answer.json()).catch(() => ({}));
    $("#lost").textContent = said.detail ?? "This frame cannot be shown.";
    $("#lost").hidden = false;
  }

  draw() {
    const { context, canvas, scale } = this, picture = this.pictures?.get(this.n);
    if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    else {
      context.fillStyle = "#181b20";
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    canvas.dataset.frame = picture ? this.n : "";
    if (this.shown && this.masks) {
      const isOf = (object) => this.selected === object.object && this.prompt === object.prompt;
      for (const object of this.masks.objects) {
        if (this.overlay?.covers(this.n) && isOf(object)) continue;
        const found = this.masks.plane(object, this.n);
        if (!found) continue;
        paint(context, found, scale, colour(object.object), isOf(object));
        this.name(`${object.object}`, found.box, css(object.object), isOf(object));
      }
    }
    if (this.overlay) this.drawOverlay();
  }

  /** An id beside its object, on a dark plate. */
  name(text, box, tint, strong) {
    const { context, canvas, scale } = this, size = Math.round(canvas.width / 52);
    context.font = `600 ${size}px system-ui, sans-serif`;
    const width = context.measureText(text).width + size * 0.7, high = size * 1.35;
    const x = Math.min(Math.max(0, box[0] * scale), canvas.width - width), y = Math.max(0, box[1] * scale - high - 2);
    context.fillStyle = "rgb(15 18 23 / .85)";
    context.fillRect(x, y, width, high);
    context.fillStyle = tint;
    context.fillText(text, x + size * 0.35, y + size);
    if (strong) {
      context.strokeStyle = "#fff";
      context.lineWidth = Math.max(1.5, canvas.width / 700);
      context.strokeRect(box[0] * scale - 2, box[1] * scale - 2, (box[2] - box[0]) * scale + 4, (box[3] - box[1]) * scale + 4);
    }
  }

  /** What clicks are pending, and what they would make of the object. */
  drawOverlay() {
    const { context, scale, overlay } = this, size = Math.max(4, this.canvas.width / 160);
    const found = overlay.masks?.plane(overlay.masks.objects[0], this.n);
    if (found) paint(context, found, scale, [255, 255, 255], true);
    if (this.n !== overlay.frame) return;
    context.lineWidth = size / 3;
    for (const box of [overlay.box, this.drawn]) {
      if (!box) continue;
      context.strokeStyle = "#28dc28";
      context.strokeRect(box[0] * scale, box[1] * scale, (box[2] - box[0]) * scale, (box[3] - box[1]) * scale);
    }
    overlay.points.forEach(([x, y], k) => {
      context.beginPath();
      context.arc(x * scale, y * scale, size, 0, 2 * Math.PI);
      context.fillStyle = overlay.labels[k] ? "#28dc28" : "#e62828";
      context.fill();
      context.strokeStyle = "#fff";
      context.stroke();
    });
  }

  play() {
    if (this.playing) return this.stop();
    if (!this.info || this.last < 1) return;
    const { times_s: times } = this.info, step = (1000 * (times[this.last] - times[0])) / this.last;
    $("#play").textContent = "❚❚";
    this.playing = setInterval(() => {
      const next = this.n === this.last ? 0 : this.n + 1;
      if (this.pictures.has(next) || !this.asked.has(next)) this.go(next);
    }, Math.max(step, 20));
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    $("#play").textContent = "▶";
  }

  place(event) {
    const [box, { width, height }] = [this.canvas.getBoundingClientRect(), this.canvas];
    const fit = Math.min(box.width / width, box.height / height); // object-fit: contain
    const x = (event.clientX - box.left - (box.width - width * fit) / 2) / fit / this.scale;
    const y = (event.clientY - box.top - (box.height - height * fit) / 2) / fit / this.scale;
    const clamp = (value, most) => Math.min(Math.max(value, 0), most - 1);
    return [clamp(x, this.info.width), clamp(y, this.info.height)];
  }

  down(event) {
    if (!this.info) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.from = { place: this.place(event), x: event.clientX, y: event.clientY, minus: event.button === 2 || event.shiftKey };
  }

  moved(event) {
    if (!this.from || !this.overlay) return;
    const far = Math.hypot(event.clientX - this.from.x, event.clientY - this.from.y) > DRAG;
    this.drawn = far && !this.from.minus ? spanned(this.from.place, this.place(event)) : null;
    this.draw();
  }

  up(event) {
    if (!this.from) return;
    const [from, box] = [this.from, this.drawn];
    this.from = this.drawn = null;
    if (box && box[2] - box[0] >= 2 && box[3] - box[1] >= 2) this.on.drag(box);
    else this.on.click(from.place, from.minus);
  }
}

const spanned = ([a, b], [c, d]) => [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];

function fitting(width, height, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return [Math.round(width * scale), Math.round(height * scale)];
}
