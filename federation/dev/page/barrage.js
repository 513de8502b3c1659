// A small client of the Barrage protocol, version 1, in JSON over WebSocket.
// It stays in one room, comes back by itself to where it was, and sends what
// has not been answered again under the same key. See docs/protocol.md.

const SUBPROTOCOL = 'barrage.v1.json';
const RECENT = 30; // messages to see on a first join
const DIAL_TIMEOUT = 10_000; // ms for a connection to stand
const BACKOFF_FIRST = 500; // ms; section 8
const BACKOFF_MOST = 30_000; // ms
const PUBLISH_TIMEOUT = 30_000; // ms, retries included
const MAX_WAITING = 100; // publishes without an answer

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const between = (low, high) => low + Math.random() * Math.max(0, high - low);

// randomKey is 128 random bits; crypto.randomUUID needs a secure origin.
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');

// Room is one room. on holds callbacks, all optional:
//   state(phase, text)  'connecting', 'live', 'waiting' or 'closed'
//   connected(info)     session, user, region, edge … after every connection
//   messages(list)      in order, each once
//   gap(gap)            messages that will not come
//   sanction(sanction)  muted, or not any more
//   members(n)
export class Room {
  constructor({ url, room, token = async () => '', on = {} }) {
    Object.assign(this, { room, token, on, endpoints: [url], epoch: '', seq: null, resume: '' });
    this.waiting = []; // publishes without an answer, in order; the first is being sent
    this.closed = false;
    this.finished = this.run();
  }

  // publish resolves to {seq, time_ms, …, latency} once a majority of the
  // room's replicas has the message on disk.
  publish(text) {
    if (this.closed) return Promise.reject(new Error('the connection is closed'));
    if (this.waiting.length >= MAX_WAITING) return Promise.reject(new Error('too many messages are waiting to be sent'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ text, key: randomKey(), began: performance.now(), resolve, reject });
      this.sendNext();
    });
  }

  // reconnect makes a new connection, for instance to use a new token.
  reconnect() {
    this.hurry = true;
    this.socket?.close();
    this.wake?.();
  }

  close() {
    this.closed = true;
    this.socket?.close(1000);
    this.wake?.();
    return this.finished;
  }

  // run connects again and again, until told not to.
  async run() {
    for (let failures = 0, endpoint = 0; !this.closed;) {
      this.on.state?.('connecting');
      const end = await this.connection(this.endpoints[endpoint % this.endpoints.length]);
      if (this.closed || end.code >= 4300 && end.code < 4400) {
        this.closed = true;
        this.waiting.splice(0).forEach((p) => p.reject(new Error(end.reason || 'the connection is closed')));
        this.on.state?.('closed', end.reason);
        return;
      }
      failures = end.wasLive ? 0 : failures + 1;
      if (end.move || !end.wasLive) endpoint++;
      let wait = between(0, Math.min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** failures));
      if (end.wait) wait = between(...end.wait);
      if (this.hurry) wait = 0;
      this.hurry = false;
      this.on.state?.('waiting', end.reason);
      await Promise.race([sleep(wait), new Promise((done) => { this.wake = done; })]);
    }
  }

  // connection runs one connection to its end and resolves to how it ended.
  connection(url) {
    return new Promise((resolve) => {
      const end = { code: 1006, reason: '', wait: null, move: false, wasLive: false };
      const socket = this.socket = new WebSocket(url, SUBPROTOCOL);
      const commands = new Map(); // id → what to do with the reply
      let lastID = 0;
      let silence = setTimeout(() => finish(), DIAL_TIMEOUT);
      let patience = DIAL_TIMEOUT; // ms of silence after which the connection is dead
      let grace = 0; // the part of it that does not change with the heartbeat
      let done = false;

      const finish = () => {
        if (done) return;
        done = true;
        clearTimeout(silence);
        if (this.socket === socket) this.call = null;
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
        resolve(end);
      };
      const send = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
      // ask calls reply before anything behind the reply is looked at.
      const ask = (command, reply) => {
        commands.set(++lastID, reply);
        send({ id: lastID, ...command });
      };
      const call = (command) => new Promise((reply) => ask(command, reply));

      socket.onopen = async () => {
        let token = '';
        try { token = await this.token(); } catch { /* then as nobody: the server will say whether it minds */ }
        const { connected, error } = await call({ connect: { token, client: 'barrage-page/1', resume: this.resume } });
        if (error) return fail(error);
        this.resume = connected.resume ?? '';
        const others = (connected.endpoints ?? []).filter((e) => /^wss?:/.test(e));
        this.endpoints = [...new Set([url, ...others])];
        const { interval_ms = 25_000, timeout_ms = 10_000 } = connected.heartbeat ?? {};
        grace = 2 * timeout_ms;
        patience = interval_ms + grace;
        this.on.connected?.(connected);

        join(this.seq === null ? { recent: RECENT } : { epoch: this.epoch, since: this.seq });
      };

      const join = (position) => ask({ join: { room: this.room, ...position } }, ({ joined, error }) => {
        if (error?.name === 'future') return join({});
        if (error) return fail(error);
        this.enter(joined);
        end.wasLive = true;
        this.call = call;
        this.sending = false;
        this.on.state?.('live');
        this.sendNext();
      });

      const fail = (error) => {
        end.reason = error.message || error.name;
        if (error.temporary) end.wait = [error.retry_after_ms ?? 500, 2 * (error.retry_after_ms ?? 500)];
        else end.code = 4300;
        finish();
      };

      socket.onmessage = ({ data }) => {
        clearTimeout(silence);
        silence = setTimeout(finish, patience);
        for (const line of data.split('\n')) {
          if (!line) continue;
          const frame = JSON.parse(line);
          if (frame.id) {
            commands.get(frame.id)?.(frame);
            commands.delete(frame.id);
          } else if (frame.batch) {
            if (!this.receive(frame.batch)) return finish(); // resume where the hole is
          } else if (frame.gap) {
            this.skip(frame.gap);
          } else if (frame.sanction?.action === 'ban') {
            fail({ message: `you are banned from this room${frame.sanction.reason ? `: ${frame.sanction.reason}` : ''}` });
          } else if (frame.sanction) {
            this.on.sanction?.(frame.sanction);
          } else if (frame.presence) {
            this.on.members?.(frame.presence.members ?? 0);
          } else if (frame.heartbeat) {
            if (frame.heartbeat.interval_ms) patience = frame.heartbeat.interval_ms + grace;
            send({ heartbeat_ack: {} });
          } else if (frame.reconnect) {
            hint(frame.reconnect);
            finish();
          } else if (frame.close) {
            end.code = frame.close.code;
            end.reason = frame.close.message || frame.close.name;
            if (frame.close.reconnect) hint(frame.close.reconnect);
          }
        }
      };

      const hint = ({ reason, wait_min_ms = 0, wait_max_ms = 0, endpoints }) => {
        end.reason ||= reason ?? '';
        end.wait = [wait_min_ms, wait_max_ms];
        const known = (endpoints ?? []).filter((e) => /^wss?:/.test(e));
        if (known.length) this.endpoints = [...new Set([url, ...known])];
        end.move = this.endpoints.length > 1;
      };

      socket.onclose = ({ code, reason }) => {
        if (code >= 4000) end.code = code;
        end.reason ||= reason;
        end.move ||= end.code >= 4100 && end.code < 4200;
        finish();
      };
    });
  }

  // enter takes the answer to a join: where in the room's log we are, and what
  // we missed (section 4.1).
  enter({ epoch = '', head = 0, gap, recovered = false, members = 0, messages = [] }) {
    if (gap) this.on.gap?.(gap);
    if (messages.length) this.seq = messages[0].seq - 1;
    else if (!recovered) this.seq = gap?.last ?? head;
    this.epoch = epoch;
    this.on.members?.(members);
    this.receive({ messages });
  }

  // receive takes in consecutive messages and reports whether they continue
  // what we have (section 4.2).
  receive({ messages = [], merged, dropped }) {
    const news = messages.filter((m) => m.seq > this.seq);
    if (!news.length) return true;
    const holes = news.some((m, i) => m.seq !== (i ? news[i - 1].seq : this.seq) + 1);
    if (holes && !merged && !dropped) return false;
    this.seq = news.at(-1).seq;
    this.on.messages?.(news);
    return true;
  }

  // skip takes a gap in: these messages will not come.
  skip(gap) {
    this.seq = gap.reason === 'epoch' ? 0 : gap.last;
    if (gap.epoch) this.epoch = gap.epoch;
    this.on.gap?.(gap);
  }

  // sendNext sends the first publish that waits. One at a time: so they stay in
  // order without more ado.
  async sendNext() {
    const [first] = this.waiting;
    const call = this.call;
    if (!first || !call || this.sending) return;
    const left = PUBLISH_TIMEOUT - (performance.now() - first.began);
    if (left <= 0) return this.answer(first, null, new Error('it was not acknowledged in time'));
    this.sending = true;
    const { published, error } = await call({
      publish: { room: this.room, key: first.key, text: first.text, timeout_ms: Math.ceil(left) },
    });
    if (call !== this.call) return; // an answer of a connection that is gone
    this.sending = false;
    if (error?.temporary) {
      await sleep(error.retry_after_ms || 300);
      return this.sendNext();
    }
    if (error) return this.answer(first, null, new Error(error.message || error.name));
    this.answer(first, { ...published, latency: performance.now() - first.began });
  }

  answer(publish, ack, error) {
    if (this.waiting[0] === publish) this.waiting.shift();
    if (ack) publish.resolve(ack); else publish.reject(error);
    this.sendNext();
  }
}
