/**
 * The only way this application makes page content: elements from a fixed set
 * of attributes, and text nodes. There is no path from a string to markup, so
 * nothing that a trace says can become one. `style` and event attributes are
 * left out on purpose; geometry is set through the CSSOM, which the content
 * security policy allows.
 */

export type Child = Node | string | number | null | undefined | false;

export interface Attributes {
  class?: string;
  id?: string;
  title?: string | undefined;
  role?: string;
  type?: string;
  name?: string;
  value?: string;
  placeholder?: string;
  min?: string;
  step?: string;
  for?: string;
  form?: string;
  accept?: string;
  list?: string;
  autocomplete?: string;
  /** Paths of this application only: the value must begin with one slash. */
  href?: string;
  datetime?: string;
  scope?: string;
  colspan?: string;
  spellcheck?: "true" | "false";
  tabindex?: "0" | "-1";
  dir?: "auto";
  hidden?: boolean;
  open?: boolean;
  disabled?: boolean;
  checked?: boolean;
  multiple?: boolean;
  required?: boolean;
  selected?: boolean;
  [data: `data-${string}`]: string;
  [aria: `aria-${string}`]: string | undefined;
}

type Listeners = { [E in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[E]) => void };

export function el<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  attributes: Attributes | null = null,
  ...children: Child[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) setAttribute(element, name, value);
  append(element, children);
  return element;
}

/** Adds event listeners and returns the element, so that it can be used in place. */
export function on<E extends HTMLElement>(element: E, listeners: Listeners): E {
  for (const [type, listener] of Object.entries(listeners)) {
    element.addEventListener(type, listener as EventListener);
  }
  return element;
}

export function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function replaceChildren(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** Text of unknown origin inline: isolated, so that its direction cannot reorder what is around it. */
export function recorded(text: string): HTMLElement {
  return el("bdi", null, text);
}

function setAttribute(element: Element, name: string, value: unknown): void {
  if (value === undefined || value === null || value === false) return;
  if (name === "href" && !/^\/(?!\/)/.test(String(value))) throw new TypeError("href must be a path of this application");
  element.setAttribute(name, value === true ? "" : String(value));
}
