/**
 * A reader of the XML that ClickHouse configuration uses, for tests. Invariant: what is not well
 * formed is refused and never repaired.
 */

/** One element: its text is trimmed and joined, entities stay as they are written. */
export interface XmlNode {
  name: string;
  attributes: Record<string, string>;
  children: XmlNode[];
  text: string;
}

/**
 * Parses the part of XML that ClickHouse configuration uses: elements, attributes, text and
 * comments. Throws on a tag without its partner, a second root, or a bare "<" or "&".
 */
export function parseXml(source: string): XmlNode {
  const top: XmlNode = { name: "", attributes: {}, children: [], text: "" };
  const open = [top];
  const token =
    /<!--((?:(?!--)[^])*)-->|<(\/?)([A-Za-z_][\w.-]*)((?:\s+[\w:-]+="[^"<&]*")*)\s*(\/?)>|([^<]+)/y;
  while (token.lastIndex < source.length) {
    const at = token.lastIndex;
    const match = token.exec(source);
    const parent = open.at(-1);
    if (match === null || parent === undefined) throw new Error(`not XML at ${at}`);
    const [, comment, closing, name, attributes = "", empty, text] = match;
    if (comment !== undefined) continue;
    if (text !== undefined) {
      if (/&(?!(?:amp|lt|gt|quot|apos);)/.test(text)) throw new Error(`bare & at ${at}`);
      if (parent === top && text.trim() !== "") throw new Error(`text outside the root at ${at}`);
      parent.text += text.trim();
    } else if (closing === "/") {
      if (parent === top || parent.name !== name) throw new Error(`</${name}> at ${at}`);
      open.pop();
    } else if (name !== undefined) {
      const pairs = [...attributes.matchAll(/([\w:-]+)="([^"]*)"/g)];
      const node: XmlNode = { name, attributes: {}, children: [], text: "" };
      for (const [, key = "", value = ""] of pairs) node.attributes[key] = value;
      parent.children.push(node);
      if (empty !== "/") open.push(node);
    }
  }
  const root = top.children[0];
  if (open.length !== 1) throw new Error(`<${open.at(-1)?.name}> is never closed`);
  if (root === undefined || top.children.length !== 1) throw new Error("not exactly one root");
  return root;
}

/** The first element along a path of names below a root. */
export function findNode(root: XmlNode, ...path: string[]): XmlNode | undefined {
  let node: XmlNode | undefined = root;
  for (const name of path) node = node?.children.find((child) => child.name === name);
  return node;
}

/** An element and everything below it. */
export function flattenNodes(root: XmlNode): XmlNode[] {
  return [root, ...root.children.flatMap(flattenNodes)];
}
