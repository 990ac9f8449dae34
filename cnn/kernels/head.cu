// The end of a net, a dense layer with ReLU and an output layer with softmax and cross entropy, from the dense layer's
// sums in SLICES parts, (image, part, unit). One image a block: the sums, dropout, the outputs, the loss, and the
// gradients by both layers' sums.
//
// Constants: HID CLS SLICES, HEAD THREADS (of a block), LAYERS (that learn: the last two are these).
extern "C" __global__ void __launch_bounds__(HEAD)
net_head(const float* parts, const float* b1, const float* W2, const float* b2, const float* targets,
             const int* orders, const int* step, int offset, int batch, int n, float smoothing, u32 seed, u32 below,
             float scale, float* hidden, float* dz2, float* dz1, float* loss) {
  float* shared = (float*)SHARED;
  constexpr int GROUPS = HEAD / HID, WARPS = HEAD / 32;
  float *red = shared, *hs = red + GROUPS * HID, *zs = hs + HID, *ds = zs + CLS;
  const int i = blockIdx.x, t = threadIdx.x, j = t % HID, g = t / HID, lane = t % 32;
  const int image = orders[(size_t)(*step + offset) * batch + i];
  if (g < GROUPS) {
    float sum = 0.f;
#pragma unroll 16
    for (int s = g; s < SLICES; s += GROUPS) sum += parts[((size_t)i * SLICES + s) * HID + j];
    red[t] = sum;
  }
  float w2[CLS];  // of hidden unit t
#pragma unroll
  for (int c = 0; c < CLS; c++) w2[c] = t < HID ? W2[t * CLS + c] : 0.f;
  __syncthreads();
  if (t < HID) {
    float z = b1[t];
    for (int k = 0; k < GROUPS; k++) z += red[k * HID + t];
    const Dropout dropout{seed, u32(step[1] + step[0] + offset), below, scale};
    hs[t] = hidden[i * HID + t] = dropout.drops(i * HID + t) ? 0.f : relu(z) * scale;
  }
  __syncthreads();
  for (int c = t / 32; c < CLS; c += WARPS) {
    float sum = 0.f;
    for (int k = lane; k < HID; k += 32) sum += hs[k] * W2[k * CLS + c];
    sum = warp_sum(sum);
    if (lane == 0) zs[c] = sum + b2[c];
  }
  __syncthreads();
  if (t < 32) {
    const bool there = lane < CLS;
    float z = there ? zs[lane] : -3.4e38f;
    float shifted = z - warp_max(z), e = there ? expf(shifted) : 0.f, all = warp_sum(e);
    float target = there ? targets[(size_t)image * CLS + lane] : 0.f;
    if (smoothing > 0.f && there) target = (1.f - smoothing) * target + smoothing / CLS;
    float nats = warp_sum(there ? target * (logf(all) - shifted) : 0.f);
    if (there) ds[lane] = dz2[i * CLS + lane] = (e / all - target) / n;
    if (lane == 0) loss[i] = nats;
  }
  __syncthreads();
  if (t < HID) {
    float sum = 0.f;
#pragma unroll
    for (int c = 0; c < CLS; c++) sum += ds[c] * w2[c];
    dz1[i * HID + t] = hs[t] <= 0.f ? 0.f : sum * scale;
  }
}

// What is learned besides the dense weights and the filters: (hidden, class) weights, class biases, hidden biases.
constexpr int REST = HID * CLS + CLS + HID;
constexpr int REST_A_BLOCK = THREADS / 4, PARTS = 4;

__device__ void learn_rest(int block, int n, const float* hidden, const float* dz2, const float* dz1,
                           const float* rates, float* W2, float* mW2, float* vW2, float* b2, float* mb2, float* vb2,
                           float* b1, float* mb1, float* vb1) {
  float* red = (float*)SHARED;
  const int t = threadIdx.x, e = block * REST_A_BLOCK + t % REST_A_BLOCK, part = t / REST_A_BLOCK;
  const int j = e / CLS, c = e % CLS, o = e - HID * CLS;
  float sum = 0.f;
  if (e < REST)
#pragma unroll 8
    for (int i = part; i < n; i += PARTS)
      sum += o < 0 ? hidden[i * HID + j] * dz2[i * CLS + c] : o < CLS ? dz2[i * CLS + o] : dz1[i * HID + o - CLS];
  red[t] = sum;
  __syncthreads();
  if (part == 0 && e < REST) {
    for (int k = 1; k < PARTS; k++) sum += red[k * REST_A_BLOCK + t];
    if (o < 0)
      Adam(rates + (LAYERS - 1) * NUMBERS).step(sum, W2[e], mW2[e], vW2[e]);
    else if (o < CLS)
      Adam(rates + (LAYERS - 1) * NUMBERS).step(sum, b2[o], mb2[o], vb2[o]);
    else
      Adam(rates + (LAYERS - 2) * NUMBERS).step(sum, b1[o - CLS], mb1[o - CLS], vb1[o - CLS]);
  }
}

// Behind the steps of a graph: the next graph goes on where this one ended.
extern "C" __global__ void net_advance(int* step, int steps) {
  if (threadIdx.x == 0) *step += steps;
}
