// The page's policy allows styles of its own files alone: no style elements with text, no style attributes. xterm makes
// both. Here they become what the policy allows a script: sheets that are adopted, and properties that are set.

export function adoptStyles(): void {
  const createElement = document.createElement.bind(document);
  document.createElement = ((tag: string, options?: ElementCreationOptions) =>
    tag === "style" ? styleElement(createElement("template")) : createElement(tag, options)) as typeof document.createElement;
  const setAttribute = Element.prototype.setAttribute;
  HTMLElement.prototype.setAttribute = function (this: HTMLElement, name: string, value: string): void {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

/** An element that is nothing itself: its text is a sheet of the page for as long as it is there. */
function styleElement(place: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(place, "textContent", { set: (text: string) => sheet.replaceSync(text) });
  place.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(place);
  };
  return place;
}
