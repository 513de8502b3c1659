// Lanes keep flying messages from touching. A message crosses the picture in a
// time that shrinks a little with its width; it may enter a lane when the one
// before has left the edge and will not be caught up with.

const GAP = 28; // px between two messages of a lane

export class Lanes {
  constructor(count = 1) {
    this.last = new Array(count).fill(null);
  }

  resize(count) {
    this.last = Array.from({ length: count }, (_, i) => this.last[i] ?? null);
  }

  // place finds a lane for something width wide at speed px/s, in a picture of
  // the given breadth, at now seconds. It returns the lane's number, or -1 when
  // all are taken.
  place(width, speed, breadth, now) {
    const free = (before) => {
      if (!before) return true;
      const tail = breadth - (now - before.began) * before.speed + before.width + GAP;
      if (tail > breadth) return false;
      const gone = tail / before.speed; // until the one before has left
      return breadth / speed >= gone || speed <= before.speed;
    };
    const lane = this.last.findIndex(free);
    if (lane >= 0) this.last[lane] = { width, speed, began: now };
    return lane;
  }
}
