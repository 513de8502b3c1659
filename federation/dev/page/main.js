// The trial page: a room's messages fly over a moving picture, and anyone can
// throw one in.
import { Room } from './barrage.js';
import { Flying } from './flying.js';
import { Scene } from './scene.js';

const MAX_LINES = 80; // of the list beside the picture
const FRESH = 12_000; // ms; older messages of the join go to the list only

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const roomName = query.get('room') || 'lobby';
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;

// Who we are, as long as this browser remembers.
const stored = (key, make) => {
  try {
    const value = localStorage.getItem(key) ?? make();
    localStorage.setItem(key, value);
    return value;
  } catch { return make(); } // storage is off: then for this visit only
};
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const inventName = () => `${pick(['Quiet', 'Neon', 'Paper', 'Velvet', 'Comet', 'Maple', 'Silver', 'Lucky'])} ${pick(['Fox', 'Heron', 'Otter', 'Lynx', 'Moth', 'Crane', 'Koi', 'Panda'])}`;
let name = query.get('name') || stored('barrage-name', inventName);
let user = '';

// colourOf gives every user a colour of their own, light enough to read.
const colourOf = (who) => {
  let hash = 2166136261;
  for (const letter of who) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  return `hsl(${(hash >>> 0) % 360} 95% ${74 + (hash >>> 9) % 8}%)`;
};

const scene = new Scene($('scene'));
const flying = new Flying($('flying'), { still });

addEventListener('resize', () => {
  scene.resize();
  flying.resize();
  if (still) scene.draw(20);
});

// The picture needs 30 frames a second, the messages all there are.
let drawn = -1;
let flown = 0;
const frame = (time) => {
  const now = time / 1000;
  if (!still && now - drawn >= 1 / 31) {
    scene.draw(now + 20);
    drawn = now;
  }
  flying.draw(now);
  if (flown !== flying.count) $('stage').dataset.flying = flown = flying.count; // for tests, which cannot see a canvas
  requestAnimationFrame(frame);
};
if (still) scene.draw(20);
requestAnimationFrame(frame);

// The list of lines: what a screen reader reads, and what has flown by.
const line = (className, ...parts) => {
  const item = document.createElement('li');
  item.className = className;
  item.append(...parts);
  const list = $('lines');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 120;
  list.append(item);
  while (list.children.length > MAX_LINES) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
  return item;
};

// takeBack empties the line of a message that a moderator took back, and ends
// its flight.
const takeBack = (seq) => {
  $('lines').querySelector(`[data-seq="${seq}"]`)?.lastChild?.replaceWith('(taken back)');
  flying.drop(seq);
};

const show = (message) => {
  if (message.retracts) takeBack(message.retracts);
  if (message.retracts || message.gone === 'withheld') return; // that one is for others
  const who = message.name || message.sender || 'somebody';
  const mine = message.sender === user;
  const colour = colourOf(message.sender || who);
  const author = document.createElement('b');
  author.textContent = who;
  author.style.color = colour;
  line(mine ? 'me' : '', author, message.gone ? '(taken back)' : message.text ?? '').dataset.seq = message.seq;
  if (message.text && Date.now() - (message.time_ms ?? 0) < FRESH) {
    flying.add({ seq: message.seq, name: who, text: message.text.replace(/\s+/g, ' ').slice(0, 200), colour, mine });
  }
};

const notice = (text) => {
  $('notice').textContent = text;
  clearTimeout(notice.timer);
  if (text) notice.timer = setTimeout(() => notice(''), 6000);
};

const room = new Room({
  url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/ws`,
  room: roomName,
  // The development server takes anybody by name. A real service would have its
  // own backend sign a token.
  token: async () => `anonymous:${name}`,
  on: {
    state(phase, reason) {
      $('phase').textContent = { connecting: 'connecting', live: 'live', waiting: 'reconnecting', closed: 'closed' }[phase];
      document.querySelector('.live').dataset.phase = phase;
      if (phase === 'closed') notice(reason || 'The connection was closed. Reload the page to try again.');
      else if (phase === 'waiting') notice(`Connection lost${reason ? ` (${reason})` : ''}: coming back to where we were …`);
      else if (phase === 'live') notice('');
    },
    connected(info) {
      user = info.user ?? '';
      $('edge').textContent = [info.region, info.edge].filter(Boolean).join(' · ') || '–';
      $('swatch').style.cssText = `--me: ${colourOf(user)}`;
    },
    messages: (list) => list.forEach(show),
    sanction: ({ action, reason }) => notice(`${action === 'unmute' ? 'You may write again' : 'You may not write here any more'}${reason ? `: ${reason}` : ''}`),
    gap: (gap) => line('note', gap.last ? `messages ${gap.first} to ${gap.last} are no longer held` : 'some messages are no longer held'),
    members: (n) => { $('members').textContent = n; },
  },
});

// A smoothed latency, since one number that jumps tells little.
let latency = 0;
const say = async (text) => {
  try {
    const ack = await room.publish(text);
    latency = latency ? latency * 0.7 + ack.latency * 0.3 : ack.latency;
    $('latency').textContent = latency < 10 ? `${latency.toFixed(1)} ms` : `${Math.round(latency)} ms`;
  } catch (error) {
    notice(`Not sent: ${error.message}`);
  }
};

$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text) return;
  $('text').value = '';
  say(text);
});

for (const words of ['hello!', 'bravo!', 'encore!', '+1', 'did you see that?', 'good night']) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = words;
  button.addEventListener('click', () => say(words));
  $('quick').append(button);
}

$('name').value = name;
$('name').addEventListener('change', () => {
  name = $('name').value.trim() || inventName();
  $('name').value = name;
  try { localStorage.setItem('barrage-name', name); } catch { /* for this visit only */ }
  room.reconnect();
});

$('toggle').addEventListener('click', () => {
  $('log').hidden = !$('log').hidden;
  $('toggle').setAttribute('aria-expanded', String(!$('log').hidden));
});
if (innerWidth < 520) $('toggle').click();

$('room').textContent = roomName;
document.title = `#${roomName} · barrage`;
addEventListener('pagehide', () => room.close());

// What else is served: the other regions of a federation in a box.
fetch('dev/info').then((answer) => (answer.ok ? answer.json() : {})).then(({ region, regions = [] }) => {
  if (regions.length < 2) return;
  for (const { name: label, url } of regions) {
    const link = document.createElement('a');
    const target = new URL(url);
    target.search = location.search;
    link.href = target;
    link.textContent = label;
    if (label === region) link.setAttribute('aria-current', 'true');
    $('regions').append(link);
  }
}).catch(() => {});
