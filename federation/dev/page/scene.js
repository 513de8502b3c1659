// The moving picture: a city by the water at night, northern lights above it, a
// train over the bridge. Everything is drawn here; there is no image to load.
// What stands still is drawn once; a frame only moves and mixes.

const TAU = Math.PI * 2;

// random is a small generator, so that the city is the same after a resize.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function layer(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  return [canvas, canvas.getContext('2d')];
}

export class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d', { alpha: false });
    this.resize();
  }

  resize() {
    const { canvas } = this;
    const ratio = Math.min(1, devicePixelRatio || 1); // it is soft: more pixels would only cost
    const width = canvas.width = Math.round(innerWidth * ratio);
    const height = canvas.height = Math.round(innerHeight * ratio);
    this.width = width;
    this.height = height;
    this.horizon = Math.round(height * 0.72);
    this.unit = Math.max(0.55, Math.min(width, height * 1.6) / 1440);
    this.sky = this.paintSky();
    this.moon = this.paintMoon();
    this.far = this.paintCity(11, 0.2, '#3d2a68', '#8a4a80', 0.07);
    this.middle = this.paintCity(29, 0.15, '#221848', '#4a2860', 0.15);
    this.near = this.paintCity(83, 0.085, '#0d0b28', '#1c1440', 0.24);
    [this.mirror, this.mirrorContext] = layer(width / 2, this.horizon / 2);
    [this.lights, this.lightsContext] = layer(120, 54);
    this.lightsPixels = this.lightsContext.createImageData(120, 54);
    const rnd = random(5);
    this.stars = Array.from({ length: 190 }, () => ({
      x: rnd() * width, y: rnd() ** 1.5 * this.horizon * 0.85, size: (0.5 + rnd() ** 3 * 1.5) * ratio, phase: rnd() * TAU, pace: 0.5 + rnd() * 2,
    }));
  }

  paintSky() {
    const [canvas, c] = layer(this.width, this.horizon + 2);
    const sky = c.createLinearGradient(0, 0, 0, this.horizon);
    for (const [at, colour] of [[0, '#050619'], [0.35, '#110f38'], [0.62, '#33195a'], [0.82, '#732e72'], [0.94, '#c9587f'], [1, '#f39a86']]) sky.addColorStop(at, colour);
    c.fillStyle = sky;
    c.fillRect(0, 0, this.width, canvas.height);
    return canvas;
  }

  paintMoon() {
    const r = 34 * this.unit;
    const [canvas, c] = layer(r * 14, r * 14);
    const x = r * 7, y = r * 7;
    const glow = c.createRadialGradient(x, y, r * 0.8, x, y, r * 7);
    glow.addColorStop(0, 'rgb(255 236 214 / .34)');
    glow.addColorStop(0.3, 'rgb(255 214 214 / .1)');
    glow.addColorStop(1, 'rgb(255 200 220 / 0)');
    c.fillStyle = glow;
    c.fillRect(0, 0, canvas.width, canvas.height);
    const face = c.createLinearGradient(x - r, y - r, x + r, y + r);
    face.addColorStop(0, '#fffaf0');
    face.addColorStop(1, '#f4cfc4');
    c.fillStyle = face;
    c.beginPath();
    c.arc(x, y, r, 0, TAU);
    c.fill();
    c.fillStyle = 'rgb(205 160 165 / .22)';
    for (const [dx, dy, s] of [[-0.3, -0.2, 0.2], [0.25, 0.3, 0.26], [0.35, -0.35, 0.12], [-0.2, 0.45, 0.12]]) {
      c.beginPath();
      c.arc(x + dx * r, y + dy * r, s * r, 0, TAU);
      c.fill();
    }
    return canvas;
  }

  // paintCity draws one row of houses, with some windows lit. It repeats at
  // its edges, so that it can drift.
  paintCity(seed, tallest, dark, light, lit) {
    const rnd = random(seed), width = Math.round(this.width * 1.25), height = Math.round(this.horizon * tallest * 2);
    const [canvas, c] = layer(width, height);
    const u = this.unit, cell = Math.max(4, 6.5 * u);
    for (let x = 0; x < width;) {
      const w = Math.min(width - x, (38 + rnd() * 74) * u);
      const h = height * (0.25 + 0.4 * rnd() + (rnd() > 0.8 ? 0.28 : 0));
      const y = height - h;
      const wall = c.createLinearGradient(0, y, 0, height);
      wall.addColorStop(0, dark);
      wall.addColorStop(1, light);
      c.fillStyle = wall;
      c.fillRect(x, y, w + 1, h);
      const roof = rnd();
      if (roof > 0.8) {
        c.fillRect(x + w / 2 - u, y - 36 * u, 2 * u, 36 * u);
        c.fillStyle = '#ff5a6e';
        c.fillRect(x + w / 2 - 1.5 * u, y - 37 * u, 3 * u, 3 * u);
      } else if (roof > 0.55) {
        c.fillRect(x + w * 0.25, y - 9 * u, w * 0.5, 10 * u);
      }
      const warm = rnd();
      for (let wy = y + cell; wy < height - cell; wy += cell * 1.35) {
        for (let wx = x + cell * 0.7; wx < x + w - cell * 0.9; wx += cell) {
          if (rnd() > lit * (0.6 + warm)) continue;
          c.fillStyle = ['rgb(255 214 140 / .92)', 'rgb(255 176 112 / .8)', 'rgb(186 220 255 / .7)', 'rgb(255 150 190 / .7)'][Math.floor(rnd() ** 1.7 * 4)];
          c.fillRect(wx, wy, cell * 0.5, cell * 0.62);
        }
      }
      x += w + (rnd() > 0.7 ? 8 * u : 0);
    }
    return canvas;
  }

  // draw draws the picture as it is at now seconds.
  draw(now) {
    const { context: c, width, height, horizon } = this;
    c.globalCompositeOperation = 'source-over';
    c.globalAlpha = 1;
    c.drawImage(this.sky, 0, 0);
    this.drawStars(c, now);
    this.drawLights(c, now);
    c.drawImage(this.moon, width * 0.19 - this.moon.width / 2, horizon * 0.27 - this.moon.height / 2);
    this.drawBeams(c, now);
    this.drawRow(c, this.far, now * 1.2, 0.97);
    this.drawRow(c, this.middle, now * 2.4, 1);
    this.drawBridge(c, now);
    this.drawRow(c, this.near, now * 4.2, 1);
    const haze = c.createLinearGradient(0, horizon * 0.72, 0, horizon);
    haze.addColorStop(0, 'rgb(255 140 150 / 0)');
    haze.addColorStop(1, 'rgb(255 140 150 / .3)');
    c.fillStyle = haze;
    c.fillRect(0, horizon * 0.72, width, horizon * 0.28 + 1);
    this.drawWater(c, now, height - horizon);
  }

  drawStars(c, now) {
    c.fillStyle = '#fff';
    for (const s of this.stars) {
      c.globalAlpha = 0.35 + 0.55 * (0.5 + 0.5 * Math.sin(now * s.pace + s.phase)) * (1 - s.y / this.horizon);
      c.fillRect(s.x, s.y, s.size, s.size);
    }
    const age = (now + 4) % 11; // a shooting star every 11 seconds
    if (age < 0.9) {
      const k = Math.floor((now + 4) / 11), rnd = random(k);
      const x = this.width * (0.35 + rnd() * 0.55) - age * 620 * this.unit, y = this.horizon * (0.06 + rnd() * 0.2) + age * 210 * this.unit;
      const tail = c.createLinearGradient(x, y, x + 170 * this.unit, y - 58 * this.unit);
      tail.addColorStop(0, 'rgb(255 255 255 / .95)');
      tail.addColorStop(1, 'rgb(190 215 255 / 0)');
      c.globalAlpha = Math.sin(age / 0.9 * Math.PI);
      c.strokeStyle = tail;
      c.lineWidth = 2 * this.unit;
      c.beginPath();
      c.moveTo(x, y);
      c.lineTo(x + 170 * this.unit, y - 58 * this.unit);
      c.stroke();
    }
    c.globalAlpha = 1;
  }

  // drawLights computes the northern lights in few pixels; enlarging them makes
  // them soft.
  drawLights(c, now) {
    const { lightsPixels: image } = this, { data, width: w, height: h } = image;
    for (let x = 0; x < w; x++) {
      const u = x / w;
      let i = x * 4;
      const foot1 = 0.62 + 0.16 * Math.sin(u * 5 + now * 0.21) + 0.06 * Math.sin(u * 13 - now * 0.37);
      const foot2 = 0.86 + 0.12 * Math.sin(u * 4 - now * 0.17 + 2) + 0.05 * Math.sin(u * 17 + now * 0.3);
      const ray1 = 0.55 + 0.45 * Math.sin(u * 46 + 5 * Math.sin(now * 0.23 + u * 6));
      const ray2 = 0.55 + 0.45 * Math.sin(u * 37 - 4 * Math.sin(now * 0.19 + u * 9));
      const veil1 = (0.5 + 0.5 * Math.sin(u * 6 - now * 0.13)) * (0.65 + 0.35 * ray1);
      const veil2 = (0.5 + 0.5 * Math.sin(u * 5 + now * 0.11 + 1.5)) * (0.65 + 0.35 * ray2);
      for (let y = 0; y < h; y++, i += w * 4) {
        const v = y / h;
        const a = v < foot1 ? Math.exp((v - foot1) * 4.6) * veil1 : Math.exp((foot1 - v) * 26) * veil1;
        const b = v < foot2 ? Math.exp((v - foot2) * 3.6) * veil2 : Math.exp((foot2 - v) * 26) * veil2;
        const edge = Math.min(1, v * 5) * Math.min(1, (1 - v) * 4);
        data[i] = (60 * a + 190 * b) * edge;
        data[i + 1] = (245 * a + 96 * b) * edge;
        data[i + 2] = (170 * a + 230 * b) * edge;
        data[i + 3] = 255;
      }
    }
    this.lightsContext.putImageData(image, 0, 0);
    c.globalCompositeOperation = 'lighter';
    c.globalAlpha = 0.62;
    c.imageSmoothingEnabled = true;
    c.imageSmoothingQuality = 'high';
    c.drawImage(this.lights, 0, 0, this.width, this.horizon * 0.74);
    c.globalAlpha = 1;
    c.globalCompositeOperation = 'source-over';
  }

  // drawBeams lets searchlights of the concert behind the houses sweep the sky.
  drawBeams(c, now) {
    const y = this.horizon - 30 * this.unit, length = this.horizon * 0.85;
    c.globalCompositeOperation = 'lighter';
    for (const [at, lean, pace, hue] of [[0.66, -0.25, 0.31, 320], [0.69, 0.1, 0.23, 200], [0.72, 0.35, 0.27, 35]]) {
      const x = this.width * at, angle = lean + Math.sin(now * pace + at * 40) * 0.42;
      const beam = c.createRadialGradient(x, y, 0, x, y, length);
      beam.addColorStop(0, `hsl(${hue} 90% 75% / .3)`);
      beam.addColorStop(1, `hsl(${hue} 90% 75% / 0)`);
      c.fillStyle = beam;
      c.beginPath();
      c.moveTo(x, y);
      c.lineTo(x + Math.sin(angle - 0.055) * length, y - Math.cos(angle - 0.055) * length);
      c.lineTo(x + Math.sin(angle + 0.055) * length, y - Math.cos(angle + 0.055) * length);
      c.fill();
    }
    c.globalCompositeOperation = 'source-over';
  }

  drawRow(c, row, shift, scale) {
    const y = this.horizon - row.height * scale;
    const x = -(shift * this.unit) % row.width;
    c.drawImage(row, x, y, row.width, row.height * scale);
    c.drawImage(row, x + row.width - 1, y, row.width, row.height * scale);
  }

  drawBridge(c, now) {
    const { width, horizon, unit: u } = this, y = horizon - 44 * u;
    c.fillStyle = '#120f30';
    c.fillRect(0, y, width, 5 * u);
    for (let x = 40 * u; x < width; x += 120 * u) c.fillRect(x, y, 7 * u, horizon - y);
    const every = 17, run = now % every / every; // one train every 17 seconds
    const length = 380 * u, head = run * (width * 1.5 + length) - width * 0.1;
    for (let car = 0; car < 5; car++) {
      const x = head - (car + 1) * 76 * u;
      c.fillStyle = '#221c4c';
      c.fillRect(x, y - 15 * u, 72 * u, 14 * u);
      c.fillStyle = 'rgb(255 232 170 / .95)';
      for (let i = 0; i < 6; i++) c.fillRect(x + (5 + i * 11) * u, y - 12 * u, 7 * u, 5 * u);
    }
    const ahead = c.createLinearGradient(head, 0, head + 130 * u, 0);
    ahead.addColorStop(0, 'rgb(255 240 190 / .55)');
    ahead.addColorStop(1, 'rgb(255 240 190 / 0)');
    c.fillStyle = ahead;
    c.fillRect(head - 4 * u, y - 9 * u, 130 * u, 8 * u);
  }

  // drawWater mirrors what stands above it, in strips that the waves push to
  // and fro.
  drawWater(c, now, depth) {
    const { width, horizon, unit: u, mirror } = this;
    this.mirrorContext.drawImage(this.canvas, 0, 0, width, horizon, 0, 0, mirror.width, mirror.height);
    const step = Math.max(2, Math.round(3 * u));
    for (let y = 0; y < depth; y += step) {
      const far = y / depth;
      const source = horizon - step - y * 1.5 - Math.sin(y * 0.09 + now * 1.6) * 3 * u * far;
      if (source < 0) break;
      const push = Math.sin(y * 0.16 / u + now * 2.1) * (1 + 9 * far) * u + Math.sin(y * 0.05 / u - now * 1.3) * 6 * far * u;
      c.drawImage(mirror, 0, source / 2, mirror.width, step / 2, push - 12 * u, horizon + y, width + 24 * u, step);
    }
    const water = c.createLinearGradient(0, horizon, 0, horizon + depth);
    water.addColorStop(0, 'rgb(26 14 58 / .28)');
    water.addColorStop(0.4, 'rgb(14 10 44 / .58)');
    water.addColorStop(1, 'rgb(6 5 24 / .86)');
    c.fillStyle = water;
    c.fillRect(0, horizon, width, depth);
    c.fillStyle = 'rgb(255 190 180 / .35)';
    c.fillRect(0, horizon, width, Math.max(1, u));
    c.globalCompositeOperation = 'lighter';
    const x = width * 0.19;
    for (let i = 0; i < 26; i++) { // the moon's way over the waves
      const y = horizon + (i + 0.5) / 26 * depth, w = (26 + i * 5 + 16 * Math.sin(now * 1.9 + i * 1.7)) * u;
      c.fillStyle = `rgb(255 214 190 / ${0.13 * (1 - i / 26)})`;
      c.fillRect(x - w / 2 + Math.sin(now + i * 2.3) * 9 * u, y, w, Math.max(1.2, 2 * u));
    }
    c.globalCompositeOperation = 'source-over';
  }
}
