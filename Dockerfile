# emo on the CPU.
#
#   docker build -t emo .                                     # detect, compare, evaluate, convert
#   docker build -t emo:train --target train .                # and train, with PyTorch for the CPU
#   docker build -t emo:darknet --target darknet .            # and AlexeyAB's Darknet, built from its source
#   docker run --rm -v "$PWD:/work" emo detect video.mp4

FROM python:3.12-slim-bookworm AS base
# What OpenCV's wheel links to.
RUN apt-get update -q && apt-get install -y -q --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY converters converters
COPY cfg cfg
COPY darknet_runner darknet_runner
COPY emotion emotion
RUN pip install --no-cache-dir '.[onnx]'
WORKDIR /work
ENTRYPOINT ["emo"]

FROM base AS train
RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu && pip install --no-cache-dir '/src[onnx,train]'

# A binary that evaluates and predicts. Its CPU build does not train correctly; for training emo has its own engine.
FROM debian:bookworm-slim AS darknet-build
RUN apt-get update -q && apt-get install -y -q --no-install-recommends ca-certificates git g++ make
ARG DARKNET_COMMIT=59596d78
RUN git clone -q https://github.com/AlexeyAB/darknet /darknet && cd /darknet && git checkout -q "$DARKNET_COMMIT" \
    && make -j "$(nproc)" GPU=0 CUDNN=0 OPENCV=0 OPENMP=1 AVX=0

FROM train AS darknet
RUN apt-get update -q && apt-get install -y -q --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=darknet-build /darknet/darknet /usr/local/bin/darknet

# What a plain `docker build` gives: the small one.
FROM base AS emo
