// An independent client: Node's own WebSocket and nothing of Barrage, written
// from docs/protocol.md alone. It joins, publishes, retries, loses its
// connection, resumes and is refused; the first thing that is not as the
// document says ends it with an error.
//
// With a name behind the URL it also moderates, under that name, which the
// server's policy must have made a moderator of every room.
//
//   node --experimental-websocket client.mjs ws://127.0.0.1:8080/v1/ws [NAME]
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

const [url, moderator] = process.argv.slice(2);
assert.ok(url, 'usage: node --experimental-websocket client.mjs URL [MODERATOR]');
assert.ok(globalThis.WebSocket, 'this Node has no WebSocket: run it with --experimental-websocket');

const PATIENCE = 10_000; // ms to wait for anything
const room = `independent-${randomUUID()}`;

const within = (promise, what) => {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE} ms`)), PATIENCE); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// Connection is one WebSocket. Replies are matched by id, pushes are kept.
class Connection {
  constructor() {
    this.socket = new WebSocket(url, 'barrage.v1.json');
    this.replies = new Map();
    this.pushes = [];
    this.waiters = [];
    this.lastID = 0;
    this.closed = new Promise((done) => { this.socket.onclose = done; });
    this.socket.onmessage = ({ data }) => {
      assert.equal(typeof data, 'string', 'barrage.v1.json is text (1.2)');
      for (const line of data.split('\n').filter(Boolean)) this.take(JSON.parse(line));
    };
  }

  open() {
    return within(new Promise((done, fail) => {
      this.socket.onopen = done;
      this.socket.onerror = (event) => fail(new Error(`cannot connect to ${url}: ${event.message ?? ''}`));
    }), 'open WebSocket');
  }

  take(frame) {
    if (frame.heartbeat) this.socket.send('{"heartbeat_ack":{}}');
    if (frame.id) {
      assert.ok(this.replies.has(frame.id), `a reply to what was never asked: ${JSON.stringify(frame)}`);
      this.replies.get(frame.id)(frame);
      this.replies.delete(frame.id);
      return;
    }
    this.pushes.push(frame);
    this.waiters.splice(0).forEach((wake) => wake());
  }

  ask(command) {
    const id = ++this.lastID;
    const reply = new Promise((done) => this.replies.set(id, done));
    this.socket.send(JSON.stringify({ id, ...command }));
    return within(reply, `answer to ${JSON.stringify(command)}`);
  }

  // pushed waits for a push of some kind.
  async pushed(kind) {
    for (;;) {
      const found = this.pushes.find((f) => f[kind]);
      if (found) return found[kind];
      await within(new Promise((wake) => this.waiters.push(wake)), `push ${kind}`);
    }
  }

  moderate(action, more) {
    return this.ask({ moderate: { room, action, ...more } });
  }

  // messages waits until n messages have been pushed.
  async messages(n) {
    for (;;) {
      const all = this.pushes.flatMap((f) => f.batch?.messages ?? []);
      if (all.length >= n) return all;
      await within(new Promise((wake) => this.waiters.push(wake)), `message ${n}, only ${all.length}`);
    }
  }

  async connect(token = 'anonymous:Independent') {
    await this.open();
    assert.equal(this.socket.protocol, 'barrage.v1.json', 'the subprotocol asked for (1)');
    const { connected } = await this.ask({ connect: { token, client: 'independent/1.0' } });
    assert.ok(connected?.session, 'connected names the session (3)');
    return connected;
  }

  publish(text, key = randomUUID(), more = {}) {
    return this.ask({ publish: { room, key, text, ...more } });
  }
}

const steps = [];
const step = (name, run) => steps.push({ name, run });

let ada, position, adasUser;

step('connect tells the limits and the heartbeat', async () => {
  ada = new Connection();
  const { limits, heartbeat, user, region, edge, time_ms } = await ada.connect();
  assert.equal(limits.frame_bytes, 65_536);
  assert.equal(limits.key_window_ms, 120_000);
  assert.ok(heartbeat.interval_ms > 0 && heartbeat.timeout_ms > 0);
  assert.ok(user && region && edge);
  adasUser = user;
  assert.ok(Math.abs(time_ms - Date.now()) < 60_000, 'Unix milliseconds');
});

step('join enters a new room at its head', async () => {
  const { joined } = await ada.ask({ join: { room } });
  assert.equal(joined.room, room);
  assert.ok(joined.epoch);
  assert.equal(joined.head ?? 0, 0);
  assert.equal(joined.role, 'member');
  position = { epoch: joined.epoch, since: 0 };
});

step('publishes are numbered 1, 2, 3 and come back in a batch', async () => {
  for (const n of [1, 2, 3]) {
    const { published } = await ada.publish(`message ${n}`, randomUUID(), { order: n });
    assert.equal(published.seq, n);
    assert.equal(published.epoch, position.epoch);
    assert.ok(['zone', 'region'].includes(published.survive));
  }
  const heard = await ada.messages(3);
  assert.deepEqual(heard.map((m) => [m.seq, m.text]), [[1, 'message 1'], [2, 'message 2'], [3, 'message 3']]);
  position.since = 3;
});

step('a retry under the same key returns the first one', async () => {
  const key = randomUUID();
  const first = await ada.publish('only once', key, { order: 4 });
  const again = await ada.publish('only once', key, { order: 5 });
  assert.equal(first.published.seq, 4);
  assert.equal(again.published.seq, 4);
  assert.equal(again.published.duplicate, true);
  const other = await ada.publish('something else', key, { order: 6 });
  assert.equal(other.error.name, 'key_conflict');
  assert.equal(other.error.seq, 4);
  assert.ok(!other.error.temporary);
  await ada.messages(4);
  position.since = 4;
});

step('what was missed comes once and in order after a resume', async () => {
  ada.socket.close();
  await within(ada.closed, 'close');
  const bob = new Connection();
  await bob.connect('anonymous:Bob');
  await bob.ask({ join: { room } });
  for (let n = 5; n <= 9; n++) assert.equal((await bob.publish(`missed ${n}`)).published.seq, n);
  ada = new Connection();
  await ada.connect();
  const { joined } = await ada.ask({ join: { room, ...position } });
  assert.equal(joined.recovered, true);
  assert.equal(joined.gap, undefined);
  assert.equal(joined.epoch, position.epoch);
  const rest = await ada.messages(5 - (joined.messages?.length ?? 0));
  const missed = [...joined.messages ?? [], ...rest];
  assert.deepEqual(missed.map((m) => [m.seq, m.text]), [5, 6, 7, 8, 9].map((n) => [n, `missed ${n}`]));
  assert.ok(missed.every((m) => m.sender && m.name === 'Bob'));
  bob.socket.close();
});

step('history reads both ways', async () => {
  const forward = (await ada.ask({ history: { room, from: 2, limit: 3 } })).messages;
  assert.deepEqual(forward.messages.map((m) => m.seq), [2, 3, 4]);
  assert.equal(forward.more, true);
  const back = (await ada.ask({ history: { room, limit: 2, reverse: true } })).messages;
  assert.deepEqual(back.messages.map((m) => m.seq), [8, 9]);
  const beyond = await ada.ask({ history: { room, from: 100, limit: 1 } });
  assert.equal(beyond.error.name, 'future');
  assert.equal(beyond.error.head, 9);
});

step('an old epoch is told of, not misled', async () => {
  const eve = new Connection();
  await eve.connect('anonymous:Eve');
  const { joined } = await eve.ask({ join: { room, epoch: 'zzzz', since: 3 } });
  assert.ok(!joined.recovered);
  assert.equal(joined.gap.reason, 'epoch');
  assert.equal(joined.epoch, position.epoch);
  eve.socket.close();
});

step('refusals have codes and leave the connection open', async () => {
  assert.equal((await ada.ask({ join: { room: 'no spaces' } })).error.code, 102);
  assert.equal((await ada.ask({ join: { room } })).error.name, 'already_joined');
  assert.equal((await ada.ask({ publish: { room, key: 'with space', text: 'x' } })).error.name, 'bad_key');
  assert.equal((await ada.ask({ connect: {} })).error.name, 'already_connected');
  assert.equal((await ada.ask({ nothing: {} }).catch((e) => ({ error: { name: e.message } }))).error.name, 'unsupported');
  assert.ok((await ada.ask({ ping: {} })).pong.time_ms > 0);
});

step('who does not moderate is refused', async () => {
  assert.equal((await ada.moderate('retract', { seq: 1 })).error.code, 121);
  assert.equal((await ada.ask({ join: { room: `mod:${room}` } })).error.name, 'forbidden');
});

const moderating = () => {
  let mia;

  step('a retraction is a message, and leaves a tombstone', async () => {
    mia = new Connection();
    await mia.connect(`anonymous:${moderator}`);
    assert.equal((await mia.ask({ join: { room } })).joined.role, 'moderator');
    const before = (await ada.messages(0)).length;
    const { moderated } = await mia.moderate('retract', { seq: 2, reason: 'off topic' });
    assert.equal(moderated.action, 'retract');
    const told = (await ada.messages(before + 1)).at(-1);
    assert.deepEqual([told.seq, told.retracts, told.text], [moderated.seq, 2, 'off topic']);
    const late = new Connection();
    await late.connect('anonymous:Late');
    const { joined } = await late.ask({ join: { room, epoch: position.epoch, since: 1 } });
    const [tombstone] = joined.messages ?? await late.messages(1);
    assert.equal(tombstone.seq, 2);
    assert.equal(tombstone.gone, 'retracted');
    assert.ok(tombstone.sender && tombstone.text === undefined && tombstone.data === undefined);
    late.socket.close();
  });

  step('a muted user is told, and refused until it is lifted', async () => {
    const user = adasUser;
    const { moderated } = await mia.moderate('mute', { user, duration_ms: 60_000, reason: 'spam' });
    assert.ok(moderated.until_ms > Date.now());
    assert.deepEqual(await ada.pushed('sanction'), { room, action: 'mute', until_ms: moderated.until_ms, reason: 'spam' });
    assert.equal((await ada.publish('hello?')).error.code, 123);
    ada.pushes.length = 0;
    assert.ok((await mia.moderate('unmute', { user })).moderated);
    assert.deepEqual(await ada.pushed('sanction'), { room, action: 'unmute' });
    assert.ok((await ada.publish('hello again')).published.seq);
  });

  step('a banned user is taken out and not let in', async () => {
    const eve = new Connection();
    const { user } = await eve.connect('anonymous:Eve');
    await eve.ask({ join: { room } });
    assert.ok((await mia.moderate('ban', { user })).moderated);
    assert.equal((await eve.pushed('sanction')).action, 'ban');
    assert.equal((await eve.ask({ join: { room } })).error.code, 124);
    assert.equal((await eve.ask({ history: { room } })).error.code, 124);
    assert.equal((await eve.ask({ leave: { room } })).error.name, 'not_joined');
    eve.socket.close();
    mia.socket.close();
    await within(mia.closed, 'close');
  });
};
if (moderator) moderating();

step('members and leave', async () => {
  // Membership settles within a second: it is replicated behind the reply.
  let members;
  for (let tries = 0; tries < 50 && members?.total !== 1; tries++) {
    if (tries) await new Promise((resolve) => setTimeout(resolve, 100));
    ({ members } = await ada.ask({ members: { room, limit: 10 } }));
  }
  assert.equal(members.total, 1);
  assert.equal((await ada.ask({ leave: { room } })).left.room, room);
  assert.equal((await ada.ask({ leave: { room } })).error.name, 'not_joined');
  ada.socket.close();
  await within(ada.closed, 'close');
});

// closes connects, sends one text and expects the connection to be closed.
const closes = async (text, code, name) => {
  const c = new Connection();
  await c.open();
  c.socket.send(text);
  const event = await within(c.closed, `close after ${text}`);
  assert.equal(event.code, code);
  const last = c.pushes.at(-1);
  assert.equal(last?.close?.code, code, `the last frame is close: ${JSON.stringify(last)}`);
  assert.equal(last.close.name, name);
};

step('a bad token is refused for good', () => closes('{"id":1,"connect":{"token":"eyJhbGciOiJub25lIn0.e30."}}', 4301, 'unauthenticated'));
step('nothing comes before connect', () => closes(`{"id":1,"join":{"room":"${room}"}}`, 4303, 'not_connected'));
step('what is not JSON ends the connection', () => closes('{"id":1,', 4300, 'malformed'));

let passed = 0;
for (const { name, run } of steps) {
  try {
    await run();
  } catch (error) {
    console.error(`not ok - ${name}\n${error.stack}`);
    process.exit(1);
  }
  passed++;
  console.log(`ok - ${name}`);
}
console.log(`${passed} passed, 0 failed`);
process.exit(0);
