// 3x3 convolutions by Winograd's F(4x4, 3x3), a few tiles at a time, so that what is between input and output stays in a
// core's cache; `winograd.py` says where that pays and builds this file.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kColumns = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kColumns = 2;
#else
constexpr int kLanes = 4, kColumns = 2;
#endif
constexpr int kRows = 6;               // of tiles, whose sums for kColumns vectors of outputs fill the registers
constexpr int kSide = 4;               // outputs a tile is wide and high
constexpr int kPoints = 36;            // numbers a tile is transformed to
constexpr int64_t kCache = 5 << 19;    // bytes of transformed inputs worked on at a time
constexpr int64_t kFewest = 12, kMost = 64;  // tiles worked on at a time
constexpr int64_t kSmall = 256;        // tiles up to which threads share the outputs

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector load(const float* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

inline void store(float* to, Vector vector) { std::memcpy(to, &vector, sizeof(vector)); }

struct Freed {
  void operator()(float* memory) const { ::operator delete[](memory, std::align_val_t(64)); }
};
using Memory = std::unique_ptr<float[], Freed>;

Memory reserve(int64_t floats) { return Memory(new (std::align_val_t(64)) float[floats]); }

// One side of each transform: six numbers to six, three to six, six to four. Numbers lie `step` apart.
inline void transform_input(const Vector* from, Vector* to, int step) {
  const Vector d0 = from[0], d1 = from[step], d2 = from[2 * step], d3 = from[3 * step], d4 = from[4 * step];
  const Vector d5 = from[5 * step];
  const Vector a = d4 - 4.0f * d2, b = d3 - 4.0f * d1, c = d4 - d2, e = 2.0f * (d3 - d1);
  to[0] = 4.0f * d0 - 5.0f * d2 + d4;
  to[step] = a + b;
  to[2 * step] = a - b;
  to[3 * step] = c + e;
  to[4 * step] = c - e;
  to[5 * step] = 4.0f * d1 - 5.0f * d3 + d5;
}

inline void transform_kernel(const Vector* from, Vector* to, int step, int to_step) {
  const Vector g0 = from[0], g1 = from[step], g2 = from[2 * step];
  const Vector outer = (g0 + g2) * (-1.0f / 6), middle = g1 * (1.0f / 6);
  const Vector wide = g0 * (1.0f / 24) + g2 * (1.0f / 6), half = g1 * (1.0f / 12);
  to[0] = g0 * 0.25f;
  to[to_step] = outer - middle;
  to[2 * to_step] = outer + middle;
  to[3 * to_step] = wide + half;
  to[4 * to_step] = wide - half;
  to[5 * to_step] = g2;
}

inline void transform_output(const Vector* from, Vector* to, int step, int to_step) {
  const Vector m0 = from[0], m5 = from[5 * step];
  const Vector a = from[step] + from[2 * step], b = from[step] - from[2 * step];
  const Vector c = from[3 * step] + from[4 * step], e = from[3 * step] - from[4 * step];
  to[0] = m0 + a + c;
  to[to_step] = b + 2.0f * e;
  to[2 * to_step] = a + 4.0f * c;
  to[3 * to_step] = b + 8.0f * e + m5;
}

// Where the numbers of a point begin, of so many each: a cache line apart from a power of two, which caches map to one
// place.
inline int64_t plane(int64_t point, int64_t floats) { return point * (floats + kLanes); }

constexpr int64_t kBlock = kLanes * kColumns;  // outputs whose kernels lie together
constexpr int64_t kChannels = 16;              // whose kernels are transformed at a time

// Of weight (outputs, channels, 3, 3), some outputs and kChannels channels, to (36, channels, width).
void transform_kernels(const float* weight, int64_t channels, int64_t start, int64_t width, int64_t part, float* to,
                       int64_t floats) {
  alignas(64) float ordered[kChannels * 9][kLanes];
  for (int64_t first = 0; first < width; first += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float* const from = weight + ((start + first + lane) * channels + part) * 9;
      for (int64_t number = 0; number < kChannels * 9; ++number) ordered[number][lane] = from[number];
    }
    for (int64_t channel = 0; channel < kChannels; ++channel) {
      Vector kernel[9], half[18], whole[kPoints];
      for (int number = 0; number < 9; ++number) kernel[number] = load(ordered[channel * 9 + number]);
      for (int column = 0; column < 3; ++column) transform_kernel(kernel + column, half + column, 3, 3);
      for (int row = 0; row < 6; ++row) transform_kernel(half + 3 * row, whole + 6 * row, 1, 1);
      float* const into = to + (part + channel) * width + first;
      for (int point = 0; point < kPoints; ++point) store(into + plane(point, floats), whole[point]);
    }
  }
}

// Sums over channels, for Rows tiles and Columns vectors of outputs.
template <int Rows, int Columns>
inline void multiply(const float* inputs, const float* kernels, int64_t channels, float* to, int64_t outputs) {
  Vector sums[Rows][Columns] = {};
  for (int64_t channel = 0; channel < channels; ++channel) {
    Vector weights[Columns];
    for (int column = 0; column < Columns; ++column) weights[column] = load(kernels + column * kLanes);
    kernels += Columns * kLanes;
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      const Vector input = inputs[row * channels + channel] - Vector{};
#pragma GCC unroll 8
      for (int column = 0; column < Columns; ++column) sums[row][column] += input * weights[column];
    }
  }
  for (int row = 0; row < Rows; ++row) {
    for (int column = 0; column < Columns; ++column) store(to + row * outputs + column * kLanes, sums[row][column]);
  }
}

template <int Columns>
inline void multiply_columns(const float* inputs, const float* kernels, int64_t tiles, int64_t channels, float* to,
                             int64_t outputs) {
  int64_t tile = 0;
  for (; tile + kRows <= tiles; tile += kRows) {
    multiply<kRows, Columns>(inputs + tile * channels, kernels, channels, to + tile * outputs, outputs);
  }
  for (; tile < tiles; ++tile) {
    multiply<1, Columns>(inputs + tile * channels, kernels, channels, to + tile * outputs, outputs);
  }
}

// All tiles with `width` outputs, at most kBlock, whose kernels lie together; each row of sums is `outputs` long.
void multiply_tiles(const float* inputs, const float* kernels, int64_t width, int64_t tiles, int64_t channels,
                    float* to, int64_t outputs) {
  const int64_t columns = width / kLanes;
  if (columns >= 4) multiply_columns<4>(inputs, kernels, tiles, channels, to, outputs);
  else if (columns == 3) multiply_columns<3>(inputs, kernels, tiles, channels, to, outputs);
  else if (columns == 2) multiply_columns<2>(inputs, kernels, tiles, channels, to, outputs);
  else multiply_columns<1>(inputs, kernels, tiles, channels, to, outputs);
}

struct Shape {
  int64_t images, height, width, channels, outputs;

  int64_t tiles() const { return images * (height / kSide) * (width / kSide); }
};

struct Place {
  int64_t image, top, left;  // of the tile's outputs
};

inline Place place_of(int64_t tile, const Shape& shape) {
  const int64_t across = shape.width / kSide, down = shape.height / kSide;
  return {tile / (across * down), tile / across % down * kSide, tile % across * kSide};
}

void gather(const float* x, const Shape& shape, int64_t first, int64_t count, int64_t room, float* to) {
  const int64_t channels = shape.channels;
  for (int64_t number = 0; number < count; ++number) {
    const Place place = place_of(first + number, shape);
    for (int64_t channel = 0; channel < channels; channel += kLanes) {
      Vector tile[kPoints], half[kPoints];
      for (int64_t row = 0; row < 6; ++row) {
        const int64_t from_row = place.top - 1 + row;
        const float* const line = x + (place.image * shape.height + from_row) * shape.width * channels + channel;
        for (int64_t column = 0; column < 6; ++column) {
          const int64_t from = place.left - 1 + column;
          const bool inside = from_row >= 0 && from_row < shape.height && from >= 0 && from < shape.width;
          tile[6 * row + column] = inside ? load(line + from * channels) : Vector{};
        }
      }
      for (int column = 0; column < 6; ++column) transform_input(tile + column, half + column, 6);
      for (int row = 0; row < 6; ++row) transform_input(half + 6 * row, tile + 6 * row, 1);
      for (int64_t point = 0; point < kPoints; ++point) {
        store(to + plane(point, room * channels) + number * channels + channel, tile[point]);
      }
    }
  }
}

// Products of `width` outputs from `start` on.
void scatter(const float* products, const float* bias, const Shape& shape, int64_t first, int64_t count, int64_t room,
             int64_t start, int64_t width, float* to) {
  for (int64_t number = 0; number < count; ++number) {
    const Place place = place_of(first + number, shape);
    for (int64_t output = 0; output < width; output += kLanes) {
      Vector points[kPoints], half[24], tile[16];
      for (int64_t point = 0; point < kPoints; ++point) {
        points[point] = load(products + plane(point, room * width) + number * width + output);
      }
      for (int column = 0; column < 6; ++column) transform_output(points + column, half + column, 6, 6);
      for (int row = 0; row < 4; ++row) transform_output(half + 6 * row, tile + 4 * row, 1, 1);
      const Vector added = bias ? load(bias + start + output) : Vector{};
      for (int64_t row = 0; row < kSide; ++row) {
        const int64_t line = (place.image * shape.height + place.top + row) * shape.width + place.left;
        for (int64_t column = 0; column < kSide; ++column) {
          store(to + (line + column) * shape.outputs + start + output, tile[kSide * row + column] + added);
        }
      }
    }
  }
}

// Many tiles: threads share them, and all read the kernels, which were transformed before.
void convolve_by_tiles(const float* x, const float* weight, const float* bias, const Shape& shape, float* to) {
  const int64_t channels = shape.channels, outputs = shape.outputs, tiles = shape.tiles();
  const int64_t floats = outputs * channels, parts = channels / kChannels;
  const Memory kernels = reserve(plane(kPoints, floats));
  at::parallel_for(0, (outputs + kBlock - 1) / kBlock * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t turn = begin; turn < end; ++turn) {
      const int64_t start = turn / parts * kBlock, width = std::min(kBlock, outputs - start);
      transform_kernels(weight, channels, start, width, turn % parts * kChannels, kernels.get() + start * channels,
                        floats);
    }
  });
  const int64_t fitting = kCache / (kPoints * static_cast<int64_t>(sizeof(float)) * std::max(channels, outputs));
  const int64_t room = std::clamp(fitting, kFewest, kMost);
  at::parallel_for(0, (tiles + room - 1) / room, 1, [&](int64_t begin, int64_t end) {
    const Memory gathered = reserve(plane(kPoints, room * channels));
    const Memory products = reserve(plane(kPoints, room * outputs));
    for (int64_t turn = begin; turn < end; ++turn) {
      const int64_t first = turn * room, count = std::min(room, tiles - first);
      gather(x, shape, first, count, room, gathered.get());
      for (int64_t point = 0; point < kPoints; ++point) {
        for (int64_t start = 0; start < outputs; start += kBlock) {
          multiply_tiles(gathered.get() + plane(point, room * channels),
                         kernels.get() + plane(point, floats) + start * channels, std::min(kBlock, outputs - start),
                         count, channels, products.get() + plane(point, room * outputs) + start, outputs);
        }
      }
      scatter(products.get(), bias, shape, first, count, room, 0, outputs, to);
    }
  });
}

// Few tiles: threads share the outputs, and each transforms the kernels of its own, which then never leave its cache.
void convolve_by_outputs(const float* x, const float* weight, const float* bias, const Shape& shape, float* to) {
  const int64_t channels = shape.channels, tiles = shape.tiles(), floats = channels * kLanes;
  const Memory gathered = reserve(plane(kPoints, tiles * channels));
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    gather(x, shape, begin, end - begin, tiles, gathered.get() + begin * channels);
  });
  at::parallel_for(0, shape.outputs / kLanes, 1, [&](int64_t begin, int64_t end) {
    const Memory kernels = reserve(plane(kPoints, floats)), products = reserve(plane(kPoints, tiles * kLanes));
    for (int64_t start = begin * kLanes; start < end * kLanes; start += kLanes) {
      for (int64_t part = 0; part < channels; part += kChannels) {
        transform_kernels(weight, channels, start, kLanes, part, kernels.get(), floats);
      }
      for (int64_t point = 0; point < kPoints; ++point) {
        multiply_tiles(gathered.get() + plane(point, tiles * channels), kernels.get() + plane(point, floats), kLanes,
                       tiles, channels, products.get() + plane(point, tiles * kLanes), kLanes);
      }
      scatter(products.get(), bias, shape, 0, tiles, tiles, start, kLanes, to);
    }
  });
}

// x (b, H, W, c), weight (d, c, 3, 3), bias (d), all fp32, H and W divisible by 4, c and d by 16; to (b, H, W, d).
at::Tensor winograd(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const auto inputs = x.contiguous(), kernels = weight.contiguous();
  const auto added = bias ? bias->contiguous() : at::Tensor();
  const Shape shape{x.size(0), x.size(1), x.size(2), x.size(3), weight.size(0)};
  auto result = at::empty({shape.images, shape.height, shape.width, shape.outputs}, x.options());
  const auto convolve = shape.tiles() <= kSmall ? convolve_by_outputs : convolve_by_tiles;
  convolve(inputs.const_data_ptr<float>(), kernels.const_data_ptr<float>(),
           bias ? added.const_data_ptr<float>() : nullptr, shape, result.mutable_data_ptr<float>());
  return result;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(vqgen, library) {
  library.def("winograd(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
}

TORCH_LIBRARY_IMPL(vqgen, CPU, library) { library.impl("winograd", winograd); }
