# What `npm ci` builds. Sources and flags come from native/sources.json, which
# CMakeLists.txt reads too. gyp has no flags for single files, so each
# instruction set is a library of its own; the core comes first in the link, so
# that an inline function that two sets share is taken from plain code.
{
  'variables': {
    'public_include': ['<!@(node -p "require(\'./native/sources.json\').include.public.join(\' \')")'],
    'private_include': ['<!@(node -p "require(\'./native/sources.json\').include.private.join(\' \')")'],
    # Node's own defaults (gnu++17) stand before these, so these win.
    'common_flags': [
      '<!@(node -p "require(\'./native/sources.json\').flags.common.join(\' \')")',
      '-O3',
      '-fopenmp',
    ],
  },
  'target_defaults': {
    'default_configuration': 'Release',
    'defines': ['NDEBUG'],
  },
  'targets': [
    {
      'target_name': 'krylov',
      'sources': ['<!@(node -p "require(\'./native/sources.json\').binding.join(\' \')")'],
      'include_dirs': ['<@(public_include)'],
      'cflags_cc': ['<@(common_flags)'],
      'defines': ['NAPI_VERSION=8'],
      'dependencies': [
        'krylov_core',
        'krylov_baseline',
        '<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except_all',
      ],
      'conditions': [
        ['target_arch=="x64"', {'dependencies': ['krylov_avx2', 'krylov_avx512']}],
        ['target_arch=="arm64"', {'dependencies': ['krylov_neon']}],
      ],
      # The helpers of the OpenMP team live as long as the process, so the
      # addon must never be unloaded.
      'ldflags': ['-fopenmp', '-Wl,-z,nodelete'],
    },
    {
      'target_name': 'krylov_core',
      'type': 'static_library',
      'sources': ['<!@(node -p "require(\'./native/sources.json\').core.join(\' \')")'],
      'include_dirs': ['<@(private_include)'],
      'cflags_cc!': ['-fno-exceptions'],
      'cflags_cc': ['<@(common_flags)'],
    },
    {
      'target_name': 'krylov_baseline',
      'type': 'static_library',
      'sources': ['<!@(node -p "require(\'./native/sources.json\').baseline.join(\' \')")'],
      'include_dirs': ['<@(private_include)'],
      'cflags_cc': [
        '<@(common_flags)',
        '<!@(node -p "require(\'./native/sources.json\').flags.baseline.join(\' \')")',
      ],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'krylov_avx2',
          'type': 'static_library',
          'sources': ['<!@(node -p "require(\'./native/sources.json\').avx2.join(\' \')")'],
          'include_dirs': ['<@(private_include)'],
          'cflags_cc': [
            '<@(common_flags)',
            '<!@(node -p "require(\'./native/sources.json\').flags.avx2.join(\' \')")',
          ],
        },
        {
          'target_name': 'krylov_avx512',
          'type': 'static_library',
          'sources': ['<!@(node -p "require(\'./native/sources.json\').avx512.join(\' \')")'],
          'include_dirs': ['<@(private_include)'],
          'cflags_cc': [
            '<@(common_flags)',
            '<!@(node -p "require(\'./native/sources.json\').flags.avx512.join(\' \')")',
          ],
        },
      ],
    }],
    ['target_arch=="arm64"', {
      'targets': [
        {
          'target_name': 'krylov_neon',
          'type': 'static_library',
          'sources': ['<!@(node -p "require(\'./native/sources.json\').neon.join(\' \')")'],
          'include_dirs': ['<@(private_include)'],
          'cflags_cc': [
            '<@(common_flags)',
            '<!@(node -p "require(\'./native/sources.json\').flags.neon.join(\' \')")',
          ],
        },
      ],
    }],
  ],
}
