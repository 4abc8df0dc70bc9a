/** What a page gets when it is shown. */
export interface PageContext {
  /** The element that the page fills. */
  readonly host: HTMLElement;
  /** Aborts when the reader leaves the page. */
  readonly signal: AbortSignal;
}
