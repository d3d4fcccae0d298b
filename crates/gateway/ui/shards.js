// Which shard the page shows: `?shard=N` in its address, or shard 0. Another shard is another page.

/** The number of the shard that this page shows. */
export const shard = Number(/^\d{1,10}$/.exec(new URLSearchParams(location.search).get("shard") ?? "")?.[0] ?? 0);

/** What is the whole net's, and has one path. */
const OF_THE_NET = ["/v1/genesis", "/v1/shards"];

/** A path of the API, as it is for a shard. */
export const placed = (path, of = shard) =>
  of === 0 || OF_THE_NET.includes(path) ? path : path.replace(/^\/v1\//, `/v1/shards/${of}/`);

/** The address of a view in a shard: `hash` is the part behind the `#`, with it. */
export const hrefIn = (of, hash) => (of === shard ? hash : `${location.pathname}${of ? `?shard=${of}` : ""}${hash}`);
