// The flying messages: each is drawn once, to a picture of its own, and then
// only moved.
import { Lanes } from './lanes.js';

const MAX_QUEUED = 150; // beyond, the oldest are left to the list of lines
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", sans-serif';

export class Flying {
  constructor(canvas, { still = false } = {}) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.still = still; // reduced motion: messages stand for a moment instead
    this.queue = [];
    this.air = [];
    this.lanes = new Lanes();
    this.resize();
  }

  resize() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.width = innerWidth;
    this.height = innerHeight;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    this.ratio = ratio;
    this.size = this.width < 760 ? 21 : 27;
    this.laneHeight = this.size * 1.75;
    this.top = document.querySelector('header').offsetHeight + 22;
    const room = this.height * (this.width < 760 ? 0.5 : 0.62);
    this.lanes.resize(Math.max(2, Math.floor(room / this.laneHeight)));
  }

  // add throws a message in.
  add(message) {
    this.queue.push(message);
    if (this.queue.length > MAX_QUEUED) this.queue.splice(0, this.queue.length - MAX_QUEUED);
  }

  // drop ends a message that was taken back, wherever it is.
  drop(seq) {
    this.queue = this.queue.filter((m) => m.seq !== seq);
    this.air = this.air.filter((m) => m.seq !== seq);
  }

  // count is how many are in the air.
  get count() { return this.air.length; }

  draw(now) {
    this.launch(now);
    const { context: c, ratio } = this;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    this.air = this.air.filter((m) => {
      const age = now - m.began;
      if (this.still) {
        if (age > 6) return false;
        c.globalAlpha = Math.min(1, (6 - age) / 0.6);
        c.drawImage(m.picture, (this.width - m.width) / 2, m.y, m.width, m.height);
        c.globalAlpha = 1;
        return true;
      }
      const x = this.width - age * m.speed;
      if (x < -m.width) return false;
      c.drawImage(m.picture, x, m.y, m.width, m.height);
      return true;
    });
  }

  launch(now) {
    while (this.queue.length) {
      const picture = this.queue[0].picture ??= paint(this.queue[0], this.size, this.ratio);
      const width = picture.width / this.ratio;
      const speed = (this.width + width) / (this.width < 760 ? 6.5 : 10);
      // Standing messages use a lane for as long as one would take to leave.
      const lane = this.still ? this.freeRow(now) : this.lanes.place(width, speed, this.width, now);
      if (lane < 0) return;
      const { laneHeight } = this;
      this.air.push({ seq: this.queue[0].seq, picture, width, speed, lane, height: picture.height / this.ratio, y: this.top + lane * laneHeight, began: now });
      this.queue.shift();
    }
  }

  freeRow() {
    const taken = new Set(this.air.map((m) => m.lane));
    return this.lanes.last.findIndex((_, i) => !taken.has(i));
  }
}

// paint draws a message: the name small, the text with a dark outline that
// keeps it readable over anything.
function paint({ name, text, colour, mine }, size, ratio) {
  const picture = document.createElement('canvas');
  const c = picture.getContext('2d');
  const nameFont = `600 ${Math.round(size * 0.55)}px ${FONT}`;
  const textFont = `700 ${size}px ${FONT}`;
  const pad = mine ? size * 0.6 : 6;
  c.font = nameFont;
  const nameWidth = name ? c.measureText(name).width + size * 0.4 : 0;
  c.font = textFont;
  const width = nameWidth + c.measureText(text).width + 2 * pad;
  const height = size * 1.6;
  picture.width = Math.ceil(width * ratio);
  picture.height = Math.ceil(height * ratio);
  c.scale(ratio, ratio);
  c.textBaseline = 'middle';
  c.lineJoin = 'round';
  if (mine) {
    c.fillStyle = 'rgb(12 8 36 / .42)';
    c.strokeStyle = colour;
    c.lineWidth = 1.6;
    c.beginPath();
    c.roundRect(1, 1, width - 2, height - 2, height / 2);
    c.fill();
    c.stroke();
  }
  const write = (words, font, x, y, fill, outline) => {
    c.font = font;
    c.lineWidth = outline;
    c.strokeStyle = 'rgb(6 3 24 / .8)';
    c.strokeText(words, x, y);
    c.fillStyle = fill;
    c.fillText(words, x, y);
  };
  if (name) write(name, nameFont, pad, height / 2 + size * 0.12, 'rgb(255 255 255 / .78)', 3);
  write(text, textFont, pad + nameWidth, height / 2 + 1, colour, size * 0.16);
  return picture;
}
