// Asks again and again, kindly: every 2 seconds while something moves, every 15 seconds while nothing does, never while
// nobody can see the page. One question at a time; what cannot be reached is asked less often.

const ACTIVE_MILLISECONDS = 2000;
const IDLE_MILLISECONDS = 15000;

/** `load(signal)` asks once and returns whether something moves; `failed(error)` is told if it raises. */
export class Poll {
  #load;
  #failed;
  #timer = 0;
  #stop = new AbortController();
  #isLoading = false;
  #isDue = false;

  constructor(load, failed) {
    this.#load = load;
    this.#failed = failed;
    document.addEventListener("visibilitychange", this.#seen, { signal: this.#stop.signal });
    this.ask();
  }

  /** Ask now, not later. */
  async ask() {
    clearTimeout(this.#timer);
    this.#isDue = true;
    if (this.#isLoading || this.#stop.signal.aborted) return;
    this.#isLoading = true;
    let wait = IDLE_MILLISECONDS;
    while (this.#isDue && !this.#stop.signal.aborted) {
      this.#isDue = false;
      wait = await this.#once();
    }
    this.#isLoading = false;
    if (!document.hidden && !this.#stop.signal.aborted) this.#timer = setTimeout(() => this.ask(), wait);
  }

  end() {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }

  async #once() {
    try {
      return (await this.#load(this.#stop.signal)) ? ACTIVE_MILLISECONDS : IDLE_MILLISECONDS;
    } catch (error) {
      if (this.#stop.signal.aborted) return IDLE_MILLISECONDS;
      this.#failed(error);
      return Math.max(IDLE_MILLISECONDS, 1000 * (error.retryAfter ?? 0));
    }
  }

  #seen = () => {
    clearTimeout(this.#timer);
    if (!document.hidden) this.ask();
  };
}
