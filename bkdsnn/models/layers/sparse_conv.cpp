// Convolutions that skip the zeros of their input, or the ones where these are more, and their weights' gradients.
// Inputs (N, H, W, C) and outputs (N, H', W', O) are channels-last; the kernel is 1x1 with a stride of 1, or 3x3 with a
// stride of 1 or 2; the padding is half the kernel.
//
// A dense kernel multiplies every input with O weights for each tap. Here the numbers that are not zero are listed
// first, and each adds its O products alone; lists, sums and weights are cut into blocks that stay in the caches. Where
// ones are more frequent, numbers are listed by how far they are from one, and what a map of ones gives is added.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#ifdef __AVX512F__
constexpr int VECTOR_BYTES = 64;
constexpr int MAX_SUMS = 18;  // vectors of sums that stay in registers
#else
constexpr int VECTOR_BYTES = 32;
constexpr int MAX_SUMS = 9;
#endif
constexpr int64_t PIXELS_OF_A_TILE = 256;
constexpr int64_t BYTES_OF_A_CHUNK = 64 * 1024;  // of the gradient

template <typename T>
struct Vector {
  typedef T type __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
  static constexpr int64_t size = VECTOR_BYTES / sizeof(T);
};
template <typename T>
typename Vector<T>::type& at(T* p, int64_t vector) {
  return reinterpret_cast<typename Vector<T>::type*>(p)[vector];
}
template <typename T>
const typename Vector<T>::type& at(const T* p, int64_t vector) {
  return reinterpret_cast<const typename Vector<T>::type*>(p)[vector];
}

struct Shape {
  int64_t N, H, W, C, O;
  int64_t rows() const { return N * H; }
};
// Sides of the output.
template <int S>
struct Out {
  int64_t H, W, rows;
  Out(Shape s) : H((s.H - 1) / S + 1), W((s.W - 1) / S + 1), rows(s.N * H) {}
};

// ---- lists of what is not zero

template <typename T>
struct Entry {
  int32_t at;
  T value;
};

// Lists in bands. Those of a band lie one behind the other.
template <typename T>
struct Lists {
  std::unique_ptr<Entry<T>[]> entries;
  std::vector<int64_t> starts;
  int64_t lists_of_a_band;

  Lists(const std::vector<int64_t>& sizes_of_bands, int64_t lists_of_a_band)
      : starts(sizes_of_bands.size() * (lists_of_a_band + 1)), lists_of_a_band(lists_of_a_band) {
    int64_t total = 0;
    for (size_t band = 0; band < sizes_of_bands.size(); ++band) {
      start(band, 0) = total;
      total += sizes_of_bands[band] + 1;  // a base may be written behind the last entry
    }
    entries.reset(new Entry<T>[total]);
  }
  int64_t& start(int64_t band, int64_t list) { return starts[band * (lists_of_a_band + 1) + list]; }
  const Entry<T>* begin(int64_t band, int64_t list) const {
    return entries.get() + starts[band * (lists_of_a_band + 1) + list];
  }
  const Entry<T>* end(int64_t band, int64_t list) const { return begin(band, list + 1); }
};

template <typename T>
int64_t count_equal(const T* x, int64_t numbers, T value) {
  const int64_t whole = numbers / Vector<T>::size;
  decltype(at(x, 0) == value) are_equal = {};  // counts downwards: a comparison gives -1
  for (int64_t v = 0; v < whole; ++v) are_equal += at(x, v) == value;
  int64_t count = 0;
  for (int64_t lane = 0; lane < Vector<T>::size; ++lane) count -= are_equal[lane];
  for (int64_t i = whole * Vector<T>::size; i < numbers; ++i) count += x[i] == value;
  return count;
}

// Listed are the numbers that are not ``base``: 0 or 1, whichever is more frequent, as 1 may be after a max-pool.
template <typename T>
struct Counts {
  T base;
  std::vector<int64_t> of_rows;  // numbers that are not base
  int64_t total;

  Counts(const T* x, Shape s, int threads) {
    const int64_t numbers = s.W * s.C;
    std::vector<int64_t> others[2] = {std::vector<int64_t>(s.rows()), std::vector<int64_t>(s.rows())};
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < s.rows(); ++row)
      for (int value : {0, 1}) others[value][row] = numbers - count_equal(x + row * numbers, numbers, T(value));
    int64_t totals[2];
    for (int value : {0, 1}) totals[value] = std::accumulate(others[value].begin(), others[value].end(), int64_t(0));
    const int chosen = totals[1] < totals[0];
    base = T(chosen);
    of_rows = std::move(others[chosen]);
    total = totals[chosen];
  }
};

// A band for each row, a list for each of its pixels: channels, and how far their values are from the base.
template <typename T>
Lists<T> list_by_pixel(const T* x, const Counts<T>& counts, Shape s, int threads) {
  Lists<T> lists(counts.of_rows, s.W);
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads)
  for (int64_t row = 0; row < s.rows(); ++row) {
    int64_t n = lists.start(row, 0);
    for (int64_t w = 0; w < s.W; ++w) {
      const T* pixel = x + (row * s.W + w) * s.C;
      for (int64_t c = 0; c < s.C; ++c) {
        lists.entries[n] = {int32_t(c), pixel[c] - counts.base};
        n += pixel[c] != counts.base;
      }
      lists.start(row, w + 1) = n;
    }
  }
  return lists;
}

struct Band {
  int64_t first_row, rows;  // of all images, one under the other
};

// Where the gradient of a pixel's outputs begins in a copy of it, and which of the KINDS of pixels it is: with a stride
// of 2, pixels of even and odd rows and columns are seen by different taps.
struct Place {
  int32_t at, kind;
};
template <int S>
constexpr int KINDS = S * S;

// A list for each kind of pixels of each channel of each band: places of pixels, and values.
template <int S, typename T>
Lists<T> list_by_channel(const Lists<T>& by_pixel, const Counts<T>& counts, const std::vector<Band>& bands,
                         const std::vector<Place>& places, Shape s, int threads) {
  std::vector<int64_t> sizes;
  for (const Band& band : bands) {
    const int64_t* first = &counts.of_rows[band.first_row];
    sizes.push_back(std::accumulate(first, first + band.rows, int64_t(0)));
  }
  Lists<T> lists(sizes, s.C * KINDS<S>);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t b = 0; b < (int64_t)bands.size(); ++b) {
    const auto for_each_row = [&](auto work) {
      for (int64_t row = 0; row < bands[b].rows; ++row) work(bands[b].first_row + row, &places[row * s.W]);
    };
    int64_t* next = &lists.start(b, 1);  // where a list's next entry goes; at the end, where the next list starts
    for_each_row([&](int64_t row, const Place* place) {
      for (int64_t w = 0; w < s.W; ++w)
        for (auto* entry = by_pixel.begin(row, w); entry != by_pixel.end(row, w); ++entry)
          ++next[entry->at * KINDS<S> + place[w].kind];
    });
    int64_t sum = lists.start(b, 0);
    for (int64_t list = 0; list < s.C * KINDS<S>; ++list) sum += std::exchange(next[list], sum);
    for_each_row([&](int64_t row, const Place* place) {
      for (int64_t w = 0; w < s.W; ++w)
        for (auto* entry = by_pixel.begin(row, w); entry != by_pixel.end(row, w); ++entry)
          lists.entries[next[entry->at * KINDS<S> + place[w].kind]++] = {place[w].at, entry->value};
    });
  }
  return lists;
}

// ---- weights in blocks of output channels, which are innermost

struct Strides {
  int64_t out, in, tap;
};

// Copies between a weight of any strides and blocks [O / width][...][width], where ``packed`` has the strides of taps
// and input channels within a block.
template <bool TO_PACKED, typename T>
void copy_weight(T* weight, Strides s, T* blocks, Strides packed, Shape shape, int64_t taps, int64_t width,
                 int threads) {
  constexpr int64_t TILE = 16;  // channels of both sides, copied by way of the cache
  const int64_t tiles = (shape.C + TILE - 1) / TILE;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
  for (int64_t block = 0; block < shape.O / width; ++block)
    for (int64_t tile = 0; tile < tiles; ++tile)
      for (int64_t first = 0; first < width; first += TILE)
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int64_t ins = std::min(TILE, shape.C - tile * TILE), outs = std::min(TILE, width - first);
          T* outside = weight + (block * width + first) * s.out + tile * TILE * s.in + tap * s.tap;
          T* inside = blocks + block * width * taps * shape.C + first + tile * TILE * packed.in + tap * packed.tap;
          T turned[TILE][TILE];
          if constexpr (TO_PACKED) {
            for (int64_t o = 0; o < outs; ++o)
              for (int64_t c = 0; c < ins; ++c) turned[c][o] = outside[o * s.out + c * s.in];
            for (int64_t c = 0; c < ins; ++c)
              for (int64_t o = 0; o < outs; ++o) inside[c * packed.in + o] = turned[c][o];
          } else {
            for (int64_t c = 0; c < ins; ++c)
              for (int64_t o = 0; o < outs; ++o) turned[c][o] = inside[c * packed.in + o];
            for (int64_t o = 0; o < outs; ++o)
              for (int64_t c = 0; c < ins; ++c) outside[o * s.out + c * s.in] = turned[c][o];
          }
        }
}

// ---- borders: which taps of a pixel lie inside

constexpr int BORDERS = 16;  // at the left, right, upper or lower edge, or several

inline int border_of(int64_t h, int64_t w, Shape s) {
  return (w == 0) | (w == s.W - 1) << 1 | (h == 0) << 2 | (h == s.H - 1) << 3;
}

template <int K>
bool is_inside(int tap, int border) {
  const int down = tap / K - K / 2, right = tap % K - K / 2;
  const int missed = (right < 0) | (right > 0) << 1 | (down < 0) << 2 | (down > 0) << 3;
  return !(border & missed);
}

// ---- forward

// The convolution of ones with a block's weights, [BORDERS][WIDTH]: sums over input channels and taps that lie inside.
template <int K, int VECTORS, typename T>
void convolve_ones(const T* weight, int64_t C, T* result) {
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  std::fill(result, result + BORDERS * WIDTH, T(0));
  for (int tap = 0; tap < K * K; ++tap) {
    T sums[WIDTH] = {};
    for (int64_t c = 0; c < C; ++c)
      for (int64_t o = 0; o < WIDTH; ++o) sums[o] += weight[(tap * C + c) * WIDTH + o];
    for (int border = 0; border < BORDERS; ++border)
      if (is_inside<K>(tap, border))
        for (int64_t o = 0; o < WIDTH; ++o) result[border * WIDTH + o] += sums[o];
  }
}

// Rows of y, one block of its channels, which start from ``starts`` [BORDERS][WIDTH].
template <int K, int S, int VECTORS, typename T>
void convolve_rows(const Lists<T>& lists, const T* weight, const T* starts, T* y, Shape s, int64_t first_row,
                   int64_t last_row) {
  constexpr int PAD = K / 2;
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  const Out<S> out_sides(s);
  for (int64_t row = first_row; row < last_row; ++row)
    for (int64_t w = 0; w < out_sides.W; ++w)
      std::copy_n(starts + border_of(row % out_sides.H * S, w * S, s) * WIDTH, WIDTH,
                  y + (row * out_sides.W + w) * s.O);
  for (int tap = 0; tap < K * K; ++tap) {  // outermost: the weights of a tap stay in the cache
    const int64_t down = tap / K - PAD, right = tap % K - PAD;
    const T* weight_of_tap = weight + tap * s.C * WIDTH;
    for (int64_t row = first_row; row < last_row; ++row) {
      const int64_t h = row % out_sides.H * S + down, from = row / out_sides.H * s.H + h;
      if (h < 0 || h >= s.H) continue;
      for (int64_t w = 0; w < out_sides.W; ++w) {
        if (w * S + right < 0 || w * S + right >= s.W) continue;
        T* out = y + (row * out_sides.W + w) * s.O;
        typename Vector<T>::type sums[VECTORS];
        for (int v = 0; v < VECTORS; ++v) sums[v] = at(out, v);
        const Entry<T>* end = lists.end(from, w * S + right);
        for (const Entry<T>* entry = lists.begin(from, w * S + right); entry != end; ++entry) {
          const T* factors = weight_of_tap + entry->at * WIDTH;
          for (int v = 0; v < VECTORS; ++v) sums[v] += entry->value * at(factors, v);
        }
        for (int v = 0; v < VECTORS; ++v) at(out, v) = sums[v];
      }
    }
  }
}

// How many vectors of output channels make a block.
template <typename T>
int64_t vectors_of_a_block(Shape s) {
  const int64_t vectors = s.O / Vector<T>::size;
  for (int64_t width : {4, 6, 3, 2})
    if (vectors % width == 0) return width;
  return 1;
}

// Weights in blocks [O / width][taps][C][width].
template <typename T>
void pack(const T* weight, Strides strides, T* packed, Shape s, int64_t taps, int threads) {
  const int64_t width = vectors_of_a_block<T>(s) * Vector<T>::size;
  copy_weight<true>(const_cast<T*>(weight), strides, packed, {1, width, s.C * width}, s, taps, width, threads);
}

template <int K, int S, int VECTORS, typename T>
void convolve_blocks(const Lists<T>& lists, T base, const T* packed, const T* bias, T* y, Shape s, int threads) {
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  std::unique_ptr<T[]> starts(new T[s.O * BORDERS]());
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t block = 0; block < s.O / WIDTH; ++block) {
    T* start = starts.get() + block * WIDTH * BORDERS;
    if (base != 0) convolve_ones<K, VECTORS>(packed + block * WIDTH * s.C * K * K, s.C, start);
    if (bias)
      for (int64_t i = 0; i < WIDTH * BORDERS; ++i) start[i] += bias[block * WIDTH + i % WIDTH];
  }
  const Out<S> out(s);
  const int64_t rows = std::max<int64_t>(1, PIXELS_OF_A_TILE / out.W), tiles = (out.rows + rows - 1) / rows;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
  for (int64_t block = 0; block < s.O / WIDTH; ++block)
    for (int64_t tile = 0; tile < tiles; ++tile)
      convolve_rows<K, S, VECTORS>(lists, packed + block * WIDTH * s.C * K * K,
                                   starts.get() + block * WIDTH * BORDERS, y + block * WIDTH, s, tile * rows,
                                   std::min(out.rows, (tile + 1) * rows));
}

template <int K, int S, typename T>
bool convolve(const T* x, const T* packed, const T* bias, T* y, Shape s, int64_t max_entries, int threads) {
  const Counts<T> counts(x, s, threads);
  if (counts.total > max_entries) return false;
  const auto lists = list_by_pixel(x, counts, s, threads);
  const auto run = [&](auto vectors) {
    convolve_blocks<K, S, decltype(vectors)::value>(lists, counts.base, packed, bias, y, s, threads);
  };
  switch (vectors_of_a_block<T>(s)) {
    case 4: run(std::integral_constant<int, 4>()); break;
    case 6: run(std::integral_constant<int, 6>()); break;
    case 3: run(std::integral_constant<int, 3>()); break;
    case 2: run(std::integral_constant<int, 2>()); break;
    default: run(std::integral_constant<int, 1>());
  }
  return true;
}

// ---- gradient of the weights

// Rows of the gradient with a border, one block of its channels: [images][rows + 2 PAD][W' + 2 PAD][WIDTH].
template <int K, int S, int VECTORS, typename T>
void copy_with_border(const T* grad, T* copy, Shape shape, Band chunk, int64_t image_rows) {
  constexpr int PAD = K / 2;
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  const Out<S> s(shape);
  for (int64_t first = chunk.first_row; first < chunk.first_row + chunk.rows; first += image_rows) {
    const int64_t n = first / s.H;
    for (int64_t h = first % s.H - PAD; h < first % s.H + image_rows + PAD; ++h, copy += (s.W + 2 * PAD) * WIDTH) {
      if (h < 0 || h >= s.H) {
        std::memset(copy, 0, (s.W + 2 * PAD) * WIDTH * sizeof(T));
        continue;
      }
      std::memset(copy, 0, PAD * WIDTH * sizeof(T));
      std::memset(copy + (PAD + s.W) * WIDTH, 0, PAD * WIDTH * sizeof(T));
      const T* from = grad + (n * s.H + h) * s.W * shape.O;
      for (int64_t w = 0; w < s.W; ++w)
        for (int v = 0; v < VECTORS; ++v) at(copy + (PAD + w) * WIDTH, v) = at(from + w * shape.O, v);
    }
  }
}

// The outputs that pixels of a kind add to: each by a tap, and how many outputs further down and right than the place.
template <int K, int S, int KIND>
struct Reach {
  int taps[K * K] = {}, down[K * K] = {}, right[K * K] = {}, count = 0;
  constexpr Reach() {
    for (int tap = 0; tap < K * K; ++tap) {
      const int h = KIND / S - (tap / K - K / 2), w = KIND % S - (tap % K - K / 2);
      if (h % S || w % S) continue;
      taps[count] = tap, down[count] = h / S, right[count] = w / S;
      ++count;
    }
  }
};

template <int K, int S, int KIND, int VECTORS, typename T>
void add_products(const Entry<T>* entry, const Entry<T>* end, const T* grad, T* sums_of_taps, int64_t row_stride) {
  constexpr Reach<K, S, KIND> reach;
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  if constexpr (reach.count > 0) {
    typename Vector<T>::type sums[reach.count * VECTORS];
    for (int i = 0; i < reach.count * VECTORS; ++i)
      sums[i] = at(sums_of_taps, reach.taps[i / VECTORS] * VECTORS + i % VECTORS);
    for (; entry != end; ++entry) {
      for (int i = 0; i < reach.count; ++i) {
        const T* factors = grad + entry->at + reach.down[i] * row_stride + reach.right[i] * WIDTH;
        for (int v = 0; v < VECTORS; ++v) sums[i * VECTORS + v] += entry->value * at(factors, v);
      }
    }
    for (int i = 0; i < reach.count * VECTORS; ++i)
      at(sums_of_taps, reach.taps[i / VECTORS] * VECTORS + i % VECTORS) = sums[i];
  }
}

// The gradient of a block's weights for an input of ones, [C][TAPS][WIDTH]: sums over the pixels whose taps lie inside.
template <int K, int S, int VECTORS, typename T>
void sum_gradient(const T* grad, T* result, Shape s) {
  constexpr int TAPS = K * K;
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  const Out<S> out(s);
  T sums[BORDERS * WIDTH] = {};
  for (int64_t n = 0; n < s.N; ++n) {
    T sums_of_image[BORDERS * WIDTH] = {};  // fewer numbers in a row, less rounding
    for (int64_t h = 0; h < out.H; ++h)
      for (int64_t w = 0; w < out.W; ++w) {
        T* sum = sums_of_image + border_of(h * S, w * S, s) * WIDTH;
        for (int v = 0; v < VECTORS; ++v) at(sum, v) += at(grad + ((n * out.H + h) * out.W + w) * s.O, v);
      }
    for (int64_t i = 0; i < BORDERS * WIDTH; ++i) sums[i] += sums_of_image[i];
  }
  for (int tap = 0; tap < TAPS; ++tap) {
    for (int border = 0; border < BORDERS; ++border)
      if (is_inside<K>(tap, border))
        for (int64_t o = 0; o < WIDTH; ++o) result[tap * WIDTH + o] += sums[border * WIDTH + o];
  }
  for (int64_t c = 1; c < s.C; ++c) std::copy(result, result + TAPS * WIDTH, result + c * TAPS * WIDTH);
}

// Whole images, or rows of one: bands of the gradient, and of the input's rows that add to them from their places on.
template <int S>
struct Chunks {
  std::vector<Band> of_grad, of_input;
  int64_t image_rows;  // of the gradient of one image, in a band

  Chunks(Shape s, int64_t pad, int64_t bytes_of_a_pixel) {
    const Out<S> out(s);
    const int64_t fit = BYTES_OF_A_CHUNK / (bytes_of_a_pixel * (out.W + 2 * pad));
    const int64_t images = fit / (out.H + 2 * pad);
    image_rows = images ? out.H : std::max<int64_t>(1, std::min(out.H, fit - 2 * pad));
    while (out.H % image_rows) --image_rows;
    const int64_t rows = std::max<int64_t>(1, images) * image_rows;
    const auto input_row = [&](int64_t row) { return row / out.H * s.H + row % out.H * S; };
    for (int64_t row = 0; row < out.rows; row += rows) {
      const int64_t next = std::min(out.rows, row + rows);
      of_grad.push_back({row, next - row});
      of_input.push_back({input_row(row), input_row(next) - input_row(row)});
    }
  }
};

template <int K, int S, int VECTORS, typename T>
void sum_products(const T* x, const T* grad, T* weight_grad, Strides strides, Shape s, int threads) {
  constexpr int PAD = K / 2, TAPS = K * K;
  constexpr int64_t WIDTH = VECTORS * Vector<T>::size;
  const int64_t width = Out<S>(s).W + 2 * PAD, blocks = s.O / WIDTH;
  const Chunks<S> chunks(s, PAD, WIDTH * sizeof(T));
  const int64_t image_rows = std::min(s.H, chunks.image_rows * S);  // of the input
  std::vector<Place> places(chunks.of_input[0].rows * s.W);  // of pixels in the copy
  for (int64_t i = 0; i < (int64_t)places.size(); ++i) {
    const int64_t row = i / s.W, w = i % s.W, image = row / image_rows, h = row % image_rows;
    places[i].at = ((image * (chunks.image_rows + 2 * PAD) + h / S + PAD) * width + w / S + PAD) * WIDTH;
    places[i].kind = h % S * S + w % S;
  }
  const Counts<T> counts(x, s, threads);
  const auto lists =
      list_by_channel<S>(list_by_pixel(x, counts, s, threads), counts, chunks.of_input, places, s, threads);
  // Blocks of output channels are shared out first, and if there are few, input channels too.
  const int64_t parts = std::max<int64_t>(1, std::min(s.C / 16, (2 * threads + blocks - 1) / blocks));
  std::unique_ptr<T[]> packed(new T[s.O * s.C * TAPS]());
  if (counts.base != 0) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t block = 0; block < blocks; ++block)
      sum_gradient<K, S, VECTORS>(grad + block * WIDTH, packed.get() + block * s.C * TAPS * WIDTH, s);
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t images = chunks.of_grad[0].rows / chunks.image_rows;
    std::unique_ptr<T[]> copy(new T[images * (chunks.image_rows + 2 * PAD) * width * WIDTH]);
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t part = 0; part < parts; ++part)
        for (int64_t chunk = 0; chunk < (int64_t)chunks.of_grad.size(); ++chunk) {
          copy_with_border<K, S, VECTORS>(grad + block * WIDTH, copy.get(), s, chunks.of_grad[chunk],
                                          chunks.image_rows);
          for (int64_t c = s.C * part / parts; c < s.C * (part + 1) / parts; ++c) {
            const auto add = [&](auto kind) {
              constexpr int KIND = decltype(kind)::value;
              const int64_t list = c * KINDS<S> + KIND;
              add_products<K, S, KIND, VECTORS>(lists.begin(chunk, list), lists.end(chunk, list), copy.get(),
                                                packed.get() + (block * s.C + c) * TAPS * WIDTH, width * WIDTH);
            };
            add(std::integral_constant<int, 0>());
            if constexpr (S == 2) {
              add(std::integral_constant<int, 1>());
              add(std::integral_constant<int, 2>());
              add(std::integral_constant<int, 3>());
            }
          }
        }
  }
  copy_weight<false>(weight_grad, strides, packed.get(), {1, TAPS * WIDTH, WIDTH}, s, TAPS, WIDTH, threads);
}

template <int K, int S, typename T>
void weight_grad_of(const T* x, const T* grad, T* weight_grad, Strides strides, Shape s, int threads) {
  const int64_t vectors = s.O / Vector<T>::size;
  constexpr int MOST = K == 1 ? 8 : MAX_SUMS / (S == 1 ? K * K : 4);  // a pixel is seen by at most so many taps
  const auto run = [&](auto vectors) {
    sum_products<K, S, decltype(vectors)::value>(x, grad, weight_grad, strides, s, threads);
  };
  if constexpr (MOST >= 8) if (vectors % 8 == 0) return run(std::integral_constant<int, 8>());
  if constexpr (MOST >= 4) if (vectors % 4 == 0) return run(std::integral_constant<int, 4>());
  if constexpr (MOST >= 2) if (vectors % 2 == 0) return run(std::integral_constant<int, 2>());
  run(std::integral_constant<int, 1>());
}

// ``work`` with the size of the kernel and the stride as constants.
template <typename Work>
auto for_kernel(int64_t kernel_size, int64_t stride, Work work) {
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, 2> two;
  constexpr std::integral_constant<int, 3> three;
  return kernel_size == 1 ? work(one, one) : stride == 1 ? work(three, one) : work(three, two);
}

#define FUNCTIONS(T, NAME)                                                                                             \
  extern "C" void sparse_conv_pack_##NAME(const T* weight, Strides strides, T* packed, Shape shape,                    \
                                          int64_t kernel_size, int64_t threads) {                                      \
    pack(weight, strides, packed, shape, kernel_size * kernel_size, threads);                                          \
  }                                                                                                                    \
  extern "C" bool sparse_conv_##NAME(const T* x, const T* packed, const T* bias, T* y, Shape shape,                    \
                                     int64_t kernel_size, int64_t stride, int64_t max_entries, int64_t threads) {      \
    return for_kernel(kernel_size, stride, [&](auto k, auto s) {                                                       \
      return convolve<decltype(k)::value, decltype(s)::value>(x, packed, bias, y, shape, max_entries, threads);        \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" void sparse_conv_weight_grad_##NAME(const T* x, const T* grad, T* weight_grad, Strides strides,           \
                                                 Shape shape, int64_t kernel_size, int64_t stride, int64_t threads) {  \
    for_kernel(kernel_size, stride, [&](auto k, auto s) {                                                              \
      weight_grad_of<decltype(k)::value, decltype(s)::value>(x, grad, weight_grad, strides, shape, threads);           \
    });                                                                                                                \
  }
FUNCTIONS(float, float32)
FUNCTIONS(double, float64)
extern "C" int64_t sparse_conv_vector_bytes() { return VECTOR_BYTES; }
