// Inngest's own client sends to us as it would to Inngest.
import assert from "node:assert/strict";
import { Inngest } from "inngest";

const [baseUrl] = process.argv.slice(2);
const client = new Inngest({ id: "discuno", baseUrl, eventKey: "any-key", isDev: false });

const one = await client.send({
  name: "user_signed_up",
  id: "sdk-signup-1",
  data: { userId: "7b1f0c9e", email: "zoe@example.edu", name: "Zoë" },
});
assert.equal(one.ids.length, 1);

const many = await client.send([
  { name: "profile_updated", data: { userId: "7b1f0c9e", fields: ["bio"] } },
  { name: "mentor_review_submitted", data: { mentorUserId: "m1", stars: 5 } },
  { name: "something/else", data: {}, ts: Date.now() },
]);
assert.equal(many.ids.length, 3);
assert.equal(new Set(many.ids).size, 3);
assert.ok(many.ids.every((id) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id)), many.ids.join());

await assert.rejects(client.send({ name: "inngest/reserved", data: {} }));
console.log(many.ids.join("\n"));
