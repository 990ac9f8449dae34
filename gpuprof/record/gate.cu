// The three kernels gpuprof launches itself. gate.ptx is made from this file and is what ships, so that neither a
// compiler nor CuPy is needed:  nvcc -arch=compute_75 -ptx gate.cu, then .version 6.0 and .target sm_60 (nothing
// newer is used), so that every driver since CUDA 9 takes it.
typedef unsigned int u32;
typedef unsigned long long u64;

static __device__ __forceinline__ u64 now() {
  u64 ns;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(ns));
  return ns;
}

// Holds its stream until the host has set *flag to this ticket or a later one, or until the limit has passed.
extern "C" __global__ void gpuprof_gate(volatile u32* flag, volatile u32* expired, u32 ticket, u64 limit_ns) {
  u64 start = now();
  while ((int)(*flag - ticket) < 0)
    if (now() - start > limit_ns) {
      *expired = ticket;
      __threadfence_system();
      return;
    }
}

extern "C" __global__ void gpuprof_empty() {}

// Reads `count` words, so that what the flush wrote is not written back inside the time that is taken.
extern "C" __global__ void gpuprof_sweep(const u32* data, u64 count, u32* sink) {
  u32 sum = 0;
  for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < count; i += gridDim.x * (u64)blockDim.x) sum ^= data[i];
  if (sum == 0x5bd1e995u) *sink = sum;
}
