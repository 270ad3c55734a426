# One image for the collector, the query API and the migrations. ClickHouse is a server beside it:
# the embedded engine (540 MB) and the Node 24 that npm brings are optional packages and left out,
# so the Node of this image runs everything.
# Invariant: nothing runs as root, and only the two folders made below are ever written.

FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24.21.0-bookworm-slim
LABEL org.opencontainers.image.title="spanledger" \
      org.opencontainers.image.licenses="Apache-2.0"

# Listening addresses are not set here: they stay on loopback until whoever runs the image opens
# them and sets SPANLEDGER_API_KEY, as docker-compose.yml does.
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/var/cache/spanledger \
    SPANLEDGER_DATA_DIR=/var/lib/spanledger

# A new named volume takes over the owner of the folder it is mounted on.
RUN mkdir -p /var/lib/spanledger /var/cache/spanledger \
    && chown node:node /var/lib/spanledger /var/cache/spanledger

WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY bin ./bin
COPY alerting ./alerting
COPY cli ./cli
COPY clickhouse ./clickhouse
COPY clickhouse-http ./clickhouse-http
COPY collector ./collector
COPY page ./page
COPY query-api ./query-api
COPY rights ./rights
COPY schemas ./schemas
COPY state ./state

USER node
EXPOSE 4317 4318 8080 8888

# For the default command; docker-compose.yml sets the port of each service.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:8888/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

ENTRYPOINT ["node", "bin/spanledger.js"]
CMD ["collector"]
