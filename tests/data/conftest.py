"""Small procedural data set shared by the tests of this folder."""

import pytest
from ml_collections import ConfigDict


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    """A TFDS folder with the tiny recipe built in it."""
    from ditta_jax.data.prepared import open_builder

    folder = tmp_path_factory.mktemp("tfds")
    open_builder("procedural_drive/tiny", folder)
    return folder


@pytest.fixture
def data_config():
    """`config.data` as in ditta_jax.configuration, with changes."""

    def make(**changes):
        from ditta_jax.configuration import default_config

        data = ConfigDict(default_config().data)
        data.update(changes)
        return data

    return make
