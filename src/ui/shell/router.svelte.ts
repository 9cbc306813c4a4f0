/** Where the visitor is, and where on it: the window's history keeps how far each place was scrolled. */
import { UNFOLD } from './reveal';
import { parseRoute, type Route } from '../routes';

/** Milliseconds without scrolling before the history is told. */
const SETTLE = 120;

export class Router {
  route = $state.raw<Route>(parseRoute(location.hash));

  /** How far down the present place is to be shown: 0 for one that is new. */
  private scroll = readScroll();
  /** How far down the page has scrolled itself. */
  private reached = 0;
  /** It was scrolled on since the place was reached, by the visitor or for them. */
  private isTaken = false;
  private aim: string | undefined;
  private settling: ReturnType<typeof setTimeout> | undefined;

  /** Follows the address until the function that is returned is called. */
  follow(): () => void {
    // The browser would scroll before the place that it scrolls has been drawn.
    history.scrollRestoration = 'manual';
    const onHash = () => {
      clearTimeout(this.settling);
      this.scroll = readScroll();
      this.isTaken = true; // until it is drawn
      this.route = parseRoute(location.hash);
    };
    const onScroll = () => {
      if (Math.abs(scrollY - this.reached) > 1) this.isTaken = true;
      clearTimeout(this.settling);
      this.settling = setTimeout(() => history.replaceState({ scroll: Math.round(scrollY) }, ''), SETTLE);
    };
    // An element is brought into view: the page goes there, smoothly perhaps, and may not be taken back as it grows.
    const onReveal = () => (this.isTaken = true);
    const grown = new ResizeObserver(() => this.restoreScroll());
    grown.observe(document.body);
    addEventListener('hashchange', onHash);
    addEventListener('scroll', onScroll, { passive: true });
    addEventListener(UNFOLD, onReveal);
    return () => {
      grown.disconnect();
      removeEventListener('hashchange', onHash);
      removeEventListener('scroll', onScroll);
      removeEventListener(UNFOLD, onReveal);
    };
  }

  /** `aim` is the element that takes the keyboard there, in place of the heading. */
  goTo(place: string, aim?: string): void {
    this.aim = aim;
    location.hash = place;
  }

  /** The element that was to take the keyboard at the place which is reached now, if there was one. */
  takeAim(): string | undefined {
    const { aim } = this;
    this.aim = undefined;
    return aim;
  }

  /** Leaves the present place for another without a way back to it: it is gone. */
  replace(place: string): void {
    history.replaceState(null, '', place);
    this.scroll = 0;
    this.isTaken = true;
    this.route = parseRoute(place);
  }

  /** Scrolls to where the visitor was on this place, which is drawn now, and again as it grows, until somebody scrolls. */
  arrive(): void {
    this.isTaken = false;
    this.restoreScroll();
  }

  private restoreScroll(): void {
    if (this.isTaken) return;
    scrollTo({ top: this.scroll, behavior: 'instant' });
    this.reached = scrollY;
  }
}

function readScroll(): number {
  const { scroll } = (history.state ?? {}) as { scroll?: unknown };
  return typeof scroll === 'number' ? scroll : 0;
}
