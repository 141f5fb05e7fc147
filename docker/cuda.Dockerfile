# The package on NVIDIA GPUs, from the pinned versions. From the repository's root:
#   docker build -f docker/cuda.Dockerfile -t ditta-jax:cuda .
#   docker run --rm --gpus all -v "$PWD/runs:/srv/ditta/runs" ditta-jax:cuda adapt --config demo
# Never built by the tests: there is no docker where they run. jax and torch bring their own CUDA
# libraries; of the machine only the driver is needed.
FROM python:3.11-slim
WORKDIR /src
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
COPY ditta_jax ditta_jax
COPY teacher_bridge teacher_bridge
COPY configs configs
RUN pip install --no-cache-dir --constraint constraints.txt 'jax[cuda12]' '.[teacher]'
# One process must not take all memory of the GPU from the other (student and teacher share it).
ENV XLA_PYTHON_CLIENT_MEM_FRACTION=0.6
WORKDIR /srv/ditta
ENTRYPOINT ["ditta-jax"]
