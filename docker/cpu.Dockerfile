# The package on a CPU, from the pinned versions. From the repository's root:
#   docker build -f docker/cpu.Dockerfile -t ditta-jax:cpu .
#   docker run --rm -v "$PWD/runs:/srv/ditta/runs" ditta-jax:cpu adapt --config demo
# Never built by the tests: there is no docker where they run.
FROM python:3.11-slim
WORKDIR /src
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
COPY ditta_jax ditta_jax
COPY teacher_bridge teacher_bridge
COPY configs configs
# The CPU build of torch, and the torchvision that fits it, before the rest.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
      torch==2.13.0 torchvision==0.28.0 \
 && pip install --no-cache-dir --constraint constraints.txt '.[teacher]'
WORKDIR /srv/ditta
ENTRYPOINT ["ditta-jax"]
