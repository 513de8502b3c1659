// Drives a real browser over the page of "barrage dev": two people meet in a
// room, one throws a message in, both see it fly, and a moderator takes one
// back.
//
//   node browser.mjs http://127.0.0.1:8080/ MODERATOR [screenshot.png]
//
// MODERATOR is whom the server's policy has made a moderator of every room.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const [url, moderator, screenshot] = process.argv.slice(2);
assert.ok(moderator, 'usage: node browser.mjs URL MODERATOR [screenshot.png]');
const room = `browser-${Date.now()}`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

const complaints = [];
const open = async (name, options = {}, at = room) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, ...options });
  await context.route((address) => address.host !== new URL(url).host, (route) => {
    complaints.push(`the page asked for ${route.request().url()}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complaints.push(`${name}: ${m.text()}`));
  page.on('pageerror', (e) => complaints.push(`${name}: ${e.message}`));
  await page.goto(`${url}?room=${at}&name=${name}`);
  await page.locator('.live[data-phase=live]').waitFor({ timeout: 20_000 });
  return page;
};
const say = async (page, text) => {
  await page.locator('#text').fill(text);
  await page.locator('#text').press('Enter');
};
const line = (page, text) => page.locator('#lines li', { hasText: text });
// moderate has a command carried out by the moderator, on a connection of its
// own from within the page.
const moderate = (page, command) => page.evaluate(({ token, command }) => new Promise((done, fail) => {
  const socket = new WebSocket(`ws://${location.host}/v1/ws`, 'barrage.v1.json');
  socket.onopen = () => [{ id: 1, connect: { token } }, { id: 2, moderate: command }].forEach((f) => socket.send(`${JSON.stringify(f)}\n`));
  socket.onclose = () => fail(new Error('closed before the answer'));
  socket.onmessage = ({ data }) => {
    for (const frame of data.split('\n').filter(Boolean).map((text) => JSON.parse(text))) {
      if (frame.error || frame.close) fail(new Error(JSON.stringify(frame)));
      if (frame.moderated) done(frame.moderated);
    }
  };
}), { token: `anonymous:${moderator}`, command });
const flying = (page) => page.waitForFunction(() => Number(document.getElementById('stage').dataset.flying) > 0, null, { timeout: 10_000 });
// painted says whether anything but nothing is on the canvas of flying messages.
const painted = (page) => page.waitForFunction(() => {
  const canvas = document.getElementById('flying');
  return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v, i) => i % 4 === 3 && v > 0);
}, null, { timeout: 10_000 });

const passed = [];
const step = async (name, run) => {
  await run();
  passed.push(name);
  console.log(`ok - ${name}`);
};

try {
  let ada, bob;
  await step('the page goes live and says where it is', async () => {
    ada = await open('Ada');
    assert.match(await ada.title(), new RegExp(room));
    assert.match(await ada.locator('#edge').textContent(), /edge-/);
  });
  await step('a message flies at the sender and at everybody else', async () => {
    bob = await open('Bob');
    await say(ada, 'what a night');
    for (const page of [ada, bob]) {
      await line(page, 'what a night').waitFor({ timeout: 10_000 });
      await flying(page);
      await painted(page);
    }
    assert.equal(await line(ada, 'what a night').getAttribute('class'), 'me');
    assert.notEqual(await line(bob, 'what a night').getAttribute('class'), 'me');
    assert.equal(await line(bob, 'what a night').locator('b').textContent(), 'Ada');
    assert.match(await ada.locator('#latency').textContent(), /^[\d.]+ ms$/);
  });
  await step('the number of members arrives', async () => {
    await bob.waitForFunction(() => document.getElementById('members').textContent === '2', null, { timeout: 10_000 });
  });
  await step('text stays text', async () => {
    const evil = '<img src=x onerror="document.title=`owned`"><b>bold</b>';
    await say(bob, evil);
    await line(ada, 'onerror').waitFor();
    assert.equal(await line(ada, 'onerror').locator('img').count(), 0);
    assert.match(await ada.title(), new RegExp(room));
  });
  await step('a reconnect continues where it was', async () => {
    const before = await ada.locator('#lines li').count();
    await ada.locator('#name').fill('Ada L');
    await ada.locator('#name').press('Tab');
    await ada.waitForFunction(() => document.querySelector('.live').dataset.phase !== 'live', null, { polling: 5, timeout: 10_000 }).catch(() => {});
    await ada.locator('.live[data-phase=live]').waitFor();
    await say(ada, 'here again');
    await line(bob, 'here again').waitFor();
    assert.equal(await line(bob, 'here again').locator('b').textContent(), 'Ada L');
    await line(ada, 'here again').waitFor();
    assert.equal(await ada.locator('#lines li').count(), before + 1, 'nothing twice, nothing lost');
  });
  await step('what a moderator takes back disappears, and does not come with a new page', async () => {
    await say(bob, 'the train was cancelled');
    await line(ada, 'the train was cancelled').waitFor();
    const seq = Number(await line(ada, 'the train was cancelled').getAttribute('data-seq'));
    await moderate(bob, { room, action: 'retract', seq, reason: 'wrong room' });
    const late = await open('Late');
    for (const page of [ada, bob, late]) {
      await page.locator(`#lines li[data-seq="${seq}"]`, { hasText: '(taken back)' }).waitFor({ timeout: 10_000 });
      assert.ok(!(await page.locator('body').innerText()).includes('cancelled'));
    }
    assert.equal(await late.locator(`#lines li[data-seq="${seq}"] b`).textContent(), 'Bob');
    await late.context().close();
  });
  await step('what is taken back flies no further', async () => {
    const alone = await open('Alone', {}, `${room}-alone`);
    await say(alone, 'wrong window');
    await flying(alone);
    const seq = Number(await line(alone, 'wrong window').getAttribute('data-seq'));
    await moderate(alone, { room: `${room}-alone`, action: 'retract', seq });
    // By itself it would be in the air for ten seconds.
    await alone.waitForFunction(() => Number(document.getElementById('stage').dataset.flying) === 0, null, { timeout: 4000 });
    await alone.context().close();
  });
  await step('a muted visitor reads why', async () => {
    await moderate(bob, { room, action: 'mute', user: 'bob', duration_ms: 60_000, reason: 'too many trains' });
    await bob.locator('#notice', { hasText: 'too many trains' }).waitFor({ timeout: 10_000 });
    await moderate(bob, { room, action: 'unmute', user: 'bob' });
    await bob.locator('#notice', { hasText: 'You may write again' }).waitFor({ timeout: 10_000 });
  });
  await step('it works by keyboard alone', async () => {
    await ada.locator('#quick button').first().focus();
    await ada.keyboard.press('Enter');
    await line(bob, 'hello!').waitFor();
  });
  await step('messages stand still for those who want no motion', async () => {
    const calm = await open('Calm', { reducedMotion: 'reduce', viewport: { width: 390, height: 780 } });
    await say(calm, 'quietly');
    await flying(calm);
    await calm.context().close();
  });
  if (screenshot) {
    await step('a picture for the README', async () => {
      const show = await open('Mira', { viewport: { width: 1440, height: 810 } }, 'lobby');
      const crowd = await Promise.all(['Neon Fox', 'Paper Heron', 'Koi', 'Jun', 'Silver Otter', 'Comet Lynx'].map((n) => open(n, { viewport: { width: 320, height: 240 }, reducedMotion: 'reduce' }, 'lobby')));
      const words = ['hello from Berlin', 'good evening everyone', 'the bass line!!', 'encore encore encore', 'watching from the night train', 'that guitar solo',
        'wooow', 'first time here, this is beautiful', 'who is the drummer?', 'goosebumps', 'bravo!', 'turn it up!', '+1', 'did you see that?', 'hello from Osaka', 'best seat in the house',
        'the lights …', 'again, again!', 'what a voice', 'São Paulo is here', 'so good'];
      for (const [i, text] of words.entries()) {
        if (i === 16) await say(show, 'thank you for tonight');
        await say(crowd[(i * 5) % crowd.length], text);
        await show.waitForTimeout(330);
      }
      await show.waitForTimeout(2500);
      await show.screenshot({ path: screenshot });
    });
  }
  assert.deepEqual(complaints, [], 'the browser complained');
  console.log(`${passed.length} passed, 0 failed`);
} catch (error) {
  console.error(`not ok after ${passed.length} steps: ${error.stack}\n${complaints.join('\n')}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
