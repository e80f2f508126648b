"""What people call things: the roles that arguments play, by the names that are usual for them."""

from collections.abc import Collection, Iterable, Mapping, Sequence

FORWARD_INPUT = "x xin xinput input inputs inp aprev ain hprev data images image img signal features batch"
SYNONYMS: dict[str, str] = {
    "x": FORWARD_INPUT,
    "dy": "dy dout dz da dl dh delta deltas d grad grads gradient gradoutput gradout outgrad grady gradient output "
    "outputgradient outputgrad upstream upstreamgrad upstreamgradient dldy dldout dldz dlda dlossdy dj g gy err error "
    "doutput dvalues dvalue topgrad gradoutputs accumgrad",
    "cache": "cache caches ctx context saved tape memory mem state aux residuals",
    "y": "y out output outputs yout result activated activation",
    "weight": "weight weights w theta kernel kernels filter filters coefficient coefficients coef gain gamma",
    "bias": "bias biases b offset biasvector beta",
    "use_bias": "usebias withbias hasbias bias",
    "stride": "stride strides s step steps",
    "padding": "padding pad pads p zeropad zeropadding paddingsize padsize",
    "kernel_size": "kernelsize poolsize size k ksize window windowsize pool f fieldsize filtersize psize kernelshape "
    "kernel poolshape p",
    "in_channels": "inchannels cin inc inputchannels nin nchannels channelsin channels c inputdepth ninputchannels",
    "out_channels": "outchannels cout outc nfilters numfilters filters outputchannels channelsout nout depth nkernels "
    "numkernels outputdepth noutputchannels",
    "in_features": "infeatures nin inputsize inputdim indim inputs fanin ninputs numinputs din insize inputfeatures "
    "nfeatures inunits inputunits input",
    "out_features": "outfeatures nout outputsize outputdim outdim outputs fanout noutputs numoutputs dout outsize "
    "outputfeatures units neurons nunits nneurons outunits outputunits hiddensize output",
    "channels": "channels c nchannels inchannels numchannels",
    "connections": "connections connection table connectiontable connectivity",
    "size": "size outputsize canvas canvassize shape",
    "value": "value fill fillvalue constant",
    "mask": "mask masks keep kept",
    "p": "p prob probability dropprob droprate rate dropoutrate dropout dropoutprob pdrop ratio",
    "1-p": "keepprob keepprobability pkeep keeprate",
    "a": "a alpha amplitude slope",
    "b": "b beta",
    "lr": "lr learningrate eta alpha rate stepsize",
    "dtype": "dtype",
    "rng": "rng generator randomstate",
    "seed": "seed",
    "training": "training train istraining trainflg trainmode",
    "momentum": "momentum mu rho beta gamma m",
    "weight_decay": "weightdecay decay wd l2 lam lambda lambd reg regularization",
    "decay": "decay lam lambda lambd reg l2 wd weightdecay alpha strength coef c regularization",
    "reduction": "reduction reduce",
    "onehot": "onehot yonehot tonehot targetonehot targetsonehot onehottarget onehottargets onehotlabels labelsonehot "
    "onehoty onehott",
    "target": "target targets t ytrue truth label labels groundtruth gt desired expected actual y correct d",
    "output": "output outputs yhat ypred pred preds prediction predictions predicted logits logit scores score x z al "
    "a o out p probs probabilities h input inputs net dvalues y",
    "params": "params parameters p",
    "gradients": "grads gradients grad g dparams",
    "w": "w weight weights theta x param",
    "dw": "dw gradient grad g grads dweight dtheta dx dparam",
    "v": "v velocity vel vw",
    "state": "state velocities cache velocity memory",
    "shape": "shape size dims",
    "fan_in": "fanin",
    "settings": "convparam convparams poolparam poolparams dropoutparam dropoutparams bnparam lnparam gnparam param "
    "hparameters hparams hyperparameters hparam config cfg options opts parameters params",
}
"""By role, in plain letters (`plain`), the most usual first."""

HALVES = {
    "kernel_size": "poolheight poolwidth poolh poolw kernelheight kernelwidth kernelh kernelw kh kw windowheight "
    "windowwidth filterheight filterwidth filterh filterw fh fw ph pw hh ww",
    "stride": "strideheight stridewidth strideh stridew sh sw stridey stridex",
    "padding": "padheight padwidth padh padw ph pw pady padx paddingheight paddingwidth",
}
"""Names of the two numbers of a pair, height and width by turns."""

for _role, _names in HALVES.items():
    _words = _names.split()
    SYNONYMS |= {f"{_role}[0]": " ".join(_words[::2]), f"{_role}[1]": " ".join(_words[1::2])}


def plain(name: str) -> str:
    """Lower case, letters and digits only."""
    return "".join(c for c in name.lower() if c.isalnum())


def synonyms(role: str) -> list[str]:
    """Names of a role, the most usual first; of one that has no list, its own."""
    return SYNONYMS.get(role, plain(role)).split()


def assign(names: Iterable[str], roles: Sequence[str], declared: Mapping[str, str]) -> dict[str, str]:
    """The role of each name that has one: those declared, then the usual ones, each role once.

    Where a name could be several things, it is the first of `roles`; where several names could be one thing, it is the
    most usual of them.
    """
    found = {name: declared[name] for name in names if name in declared}
    for role in roles:
        if role in found.values():
            continue
        free = [name for name in names if name not in found]
        ranked = [name for word in synonyms(role) for name in free if plain(name) == word]
        if ranked:
            found[ranked[0]] = role
    return found


def pairs(settings: Collection[str]) -> list[str]:
    """The settings, and the halves of those that can be pairs."""
    return [*settings, *(f"{role}[{i}]" for role in settings if role in HALVES for i in (0, 1))]
