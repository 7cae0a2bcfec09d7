// Answers questions with the official JavaScript SDKs: reads [{ask, ...}] from standard input, writes
// [{found} or {refused}] to standard output. What an SDK refuses is an answer too.
import { createHmac, createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";
import Mux from "@mux/mux-node";
import { createLocalJWKSet, jwtVerify } from "jose";
import Stripe from "stripe";

const mux = new Mux({ tokenId: "unused", tokenSecret: "unused" });
const stripe = new Stripe("sk_test_unused");

const questions = {
  // A verifier that has nothing to do with either of us.
  verify: async ({ token, publicKey, audience }) => {
    const options = { algorithms: ["RS256"], audience, requiredClaims: ["exp", "sub"] };
    const { payload, protectedHeader } = await jwtVerify(token, createPublicKey(publicKey), options);
    return { payload, header: protectedHeader };
  },
  verifyByJwk: async ({ token, jwks }) => {
    const options = { algorithms: ["RS256"], requiredClaims: ["exp", "sub"] };
    const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(jwks), options);
    return { payload, header: protectedHeader };
  },
  sign: ({ playbackId, keyId, keySecret, ...options }) =>
    mux.jwt.signPlaybackId(playbackId, { keyId, keySecret, ...options }),
  unwrapMux: ({ body, header, secret }) => mux.webhooks.unwrap(body, { "mux-signature": header }, secret),
  // As mux-node's own tests make them.
  muxHeader: ({ body, secret, timestamp }) => {
    const signature = createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex");
    return `t=${timestamp},v1=${signature}`;
  },
  unwrapStripe: ({ body, header, secret }) => stripe.webhooks.constructEvent(body, header, secret),
  stripeHeader: ({ body, secret, timestamp }) =>
    stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp }),
};

const answers = [];
for (const { ask, ...facts } of JSON.parse(await text(process.stdin))) {
  try {
    answers.push({ found: await questions[ask](facts) });
  } catch (error) {
    answers.push({ refused: error.message });
  }
}
process.stdout.write(JSON.stringify(answers));
