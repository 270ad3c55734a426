/**
 * Who the traffic comes from: four services of one company, each in two environments, and the
 * people who use them.
 *
 * Invariant: every service speaks one generation of the conventions, on its resource as well.
 */
import type { Deployment, PlannedAttribute } from "./plan.ts";
import { drawInteger, drawWeighted, happens, type Random } from "./random.ts";

/** Services of the demo, by `service.name`. */
export type ServiceName = "support-chat" | "search-ranking" | "doc-pipeline" | "code-review-agent";

interface Service {
  readonly version: string;
  readonly team: string;
  /** Key of the environment: renamed in v1.27 of the conventions, and both are in use. */
  readonly environment_key: "deployment.environment.name" | "deployment.environment";
}

const SERVICES: Readonly<Record<ServiceName, Service>> = {
  "support-chat": {
    version: "2.14.0",
    team: "support",
    environment_key: "deployment.environment.name",
  },
  "search-ranking": {
    version: "0.9.3",
    team: "search",
    environment_key: "deployment.environment.name",
  },
  "doc-pipeline": {
    version: "1.2.7",
    team: "documents",
    environment_key: "deployment.environment",
  },
  "code-review-agent": {
    version: "0.4.1",
    team: "developer-tools",
    environment_key: "deployment.environment.name",
  },
};

const STAGING_SHARE = 0.15;

function describeDeployment(service_name: ServiceName, environment: string): Deployment {
  const service = SERVICES[service_name];
  const attributes: PlannedAttribute[] = [
    ["service.name", service_name],
    ["service.version", service.version],
    [service.environment_key, environment],
    ["spanledger.tag.team", service.team],
  ];
  return { service_name, environment, attributes };
}

/** Every resource that sends: each service in production and in staging. */
export const DEPLOYMENTS: readonly Deployment[] = (Object.keys(SERVICES) as ServiceName[]).flatMap(
  (name) => ["production", "staging"].map((environment) => describeDeployment(name, environment)),
);

/** Version of a service, which its instrumentation scope carries too. */
export function versionOf(service_name: ServiceName): string {
  return SERVICES[service_name].version;
}

/** One of the deployments of a service, mostly production. */
export function drawDeployment(random: Random, service_name: ServiceName): Deployment {
  const environment = happens(random, STAGING_SHARE) ? "staging" : "production";
  const found = DEPLOYMENTS.find(
    (one) => one.service_name === service_name && one.environment === environment,
  );
  return found ?? describeDeployment(service_name, environment);
}

/** People who use the services. */
export const USER_COUNT = 40;
/** Share of requests that begin a new session. */
const NEW_SESSION_SHARE = 0.2;

/** Who sends a request. */
export interface Visitor {
  readonly user_id: string;
  readonly session_id: string;
}

interface User {
  readonly user_id: string;
  readonly weight: number;
  sessions: number;
}

function makeUser(index: number): User {
  const user_id = `user-${String(index + 1).padStart(2, "0")}`;
  // A few people do most of the work, as everywhere.
  return { user_id, weight: 1 / (index + 3), sessions: 1 };
}

/** The users with their running sessions. */
export class Visitors {
  readonly #users: [User, ...User[]] = [
    makeUser(0),
    ...Array.from({ length: USER_COUNT - 1 }, (_, index) => makeUser(index + 1)),
  ];
  /** Tells the sessions of one run from those of another seed. */
  readonly #run: string;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
    this.#run = drawInteger(random, 0, 0xffff).toString(16).padStart(4, "0");
  }

  /** The next request's user, in the session that runs or a new one. */
  next(): Visitor {
    const user = drawWeighted(this.#random, this.#users);
    if (happens(this.#random, NEW_SESSION_SHARE)) user.sessions += 1;
    return {
      user_id: user.user_id,
      session_id: `session-${this.#run}-${user.user_id.slice(5)}-${user.sessions}`,
    };
  }
}
